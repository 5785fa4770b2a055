/* Pages and regions of the model.
 *
 * I1  A page that isn't mapped is all-zero: no head, no content, not touched.
 * I2  The first of a run of mapped pages is a head; where regions join, a page is a
 *     head only if the page below is unmapped or has another protection.
 *
 * Regions are counted for the presets that limit them; nothing else depends on them.
 */
#include "model/space.h"

uint8_t model_prot(unsigned prot)
{
	return (uint8_t)(prot ? prot | 1u : 0);
}

/* Restores I2 where regions join. */
static void join(struct model_window *w)
{
	for (unsigned i = 1; i < OPS_WINDOW_PAGES; i++)
		if (w->page[i].mapped && w->page[i - 1].mapped &&
		    w->page[i].prot == w->page[i - 1].prot)
			w->page[i].head = false;
}

/* The page at i, if it is mapped, begins a region from now on. */
static void cut(struct model_window *w, unsigned i)
{
	if (i < OPS_WINDOW_PAGES && w->page[i].mapped)
		w->page[i].head = true;
}

void model_unmap(struct model_window *w, unsigned page, unsigned pages)
{
	cut(w, page + pages);
	for (unsigned i = page; i < page + pages; i++)
		w->page[i] = (struct model_page){ 0 };
}

void model_map(struct model_window *w, unsigned page, unsigned pages, uint8_t prot, bool joins)
{
	model_unmap(w, page, pages);
	for (unsigned i = page; i < page + pages; i++)
		w->page[i] = (struct model_page){ .mapped = true, .head = i == page,
						  .prot = prot };
	if (joins)
		join(w);
}

/* A region that has the protection already isn't cut. */
void model_protect(struct model_window *w, unsigned page, unsigned pages, uint8_t prot,
		   bool joins)
{
	unsigned end = page + pages;

	if (w->page[page].prot != prot)
		cut(w, page);
	if (end < OPS_WINDOW_PAGES && w->page[end].prot != prot)
		cut(w, end);
	for (unsigned i = page; i < end; i++)
		w->page[i].prot = prot;
	if (joins)
		join(w);
}

bool model_mapped(const struct model_window *w, unsigned page, unsigned pages)
{
	for (unsigned i = page; i < page + pages; i++)
		if (!w->page[i].mapped)
			return false;
	return true;
}

bool model_may(const struct model_page *p, bool write)
{
	return p->mapped && (p->prot & (write ? 2u : 1u));
}

uint64_t model_stamp(unsigned content, unsigned window, unsigned page, unsigned i)
{
	return content == MODEL_ZERO ? 0 : ops_stamp(content - 1u, window, page, i);
}

uint64_t model_page_fold(uint64_t digest, const struct model_page *p, unsigned window,
			 unsigned page)
{
	for (unsigned i = 0; i < OPS_STAMPS; i++) {
		unsigned content = p->content[i] == MODEL_UNSURE ? MODEL_ZERO : p->content[i];

		digest = ops_fold(digest, model_stamp(content, window, page, i));
	}
	return digest;
}

void model_page_fill(struct model_page *p, unsigned pattern)
{
	for (unsigned i = 0; i < OPS_STAMPS; i++)
		p->content[i] = (uint16_t)(1 + pattern);
}

bool model_page_unsure(const struct model_page *p)
{
	bool unsure = false;

	for (unsigned i = 0; i < OPS_STAMPS; i++)
		unsure |= p->content[i] == MODEL_UNSURE;
	return unsure;
}

unsigned model_regions(const struct model_window *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < OPS_WINDOW_PAGES; i++)
		n += w->page[i].head;
	return n;
}
