/// The small formatter behind kmm_log and kmm_format.
#ifndef KMM_BASE_FORMAT_H
#define KMM_BASE_FORMAT_H

#include <stdarg.h>

#include <kmm/types.h>

size_t format_va(char *out, size_t bytes, const char *fmt, va_list ap);

#endif
