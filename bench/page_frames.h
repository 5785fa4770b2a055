/// The page's section on frames.
#ifndef PAGE_FRAMES_H
#define PAGE_FRAMES_H

#include "page.h"

bool page_frames(struct page *p);

#endif
