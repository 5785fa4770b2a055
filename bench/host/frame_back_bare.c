/// Back ends without an allocator, which tell how much of a figure the driver costs: no
/// work at all; a stack of frame numbers a thread, called out of line as an allocator
/// is; and that stack with one byte touched a frame, whose cache misses no allocator
/// that keeps anything beside each frame can avoid.
#include "frame_work.h"

static __attribute__((noinline)) bool stack_get(struct frame_thread *t, unsigned order,
						uint32_t *out)
{
	(void)order;
	if (t->stack_n == 0)
		return false;
	*out = t->stack[--t->stack_n];
	return true;
}

static __attribute__((noinline)) bool stack_put(struct frame_thread *t, uint32_t f, unsigned order)
{
	(void)order;
	t->stack[t->stack_n++] = f;
	return true;
}

static __attribute__((noinline)) unsigned stack_get_batch(struct frame_thread *t, unsigned n,
							  struct kmm_pfn *out)
{
	unsigned i = 0;

	for (; i < n && t->stack_n != 0; i++)
		out[i].n = t->stack[--t->stack_n];
	return i;
}

static __attribute__((noinline)) bool stack_put_batch(struct frame_thread *t, unsigned n,
						      const struct kmm_pfn *pfn)
{
	for (unsigned i = 0; i < n; i++)
		t->stack[t->stack_n++] = (uint32_t)pfn[i].n;
	return true;
}

#define BACK(name) stack_##name
#define BACK_NAME "stack"
#define BACK_TABLE frame_stack
#include "frame_driver.h"
#undef BACK
#undef BACK_NAME
#undef BACK_TABLE

static __attribute__((noinline)) bool lines_get(struct frame_thread *t, unsigned order,
						uint32_t *out)
{
	(void)order;
	if (t->stack_n == 0)
		return false;
	*out = t->stack[--t->stack_n];
	t->run->line[*out - (FRAME_BASE >> KMM_PAGE_LG2)] ^= 1u;
	return true;
}

static __attribute__((noinline)) bool lines_put(struct frame_thread *t, uint32_t f, unsigned order)
{
	(void)order;
	t->run->line[f - (FRAME_BASE >> KMM_PAGE_LG2)] ^= 1u;
	t->stack[t->stack_n++] = f;
	return true;
}

#define lines_get_batch stack_get_batch
#define lines_put_batch stack_put_batch
#define BACK(name) lines_##name
#define BACK_NAME "lines"
#define BACK_TABLE frame_lines
#include "frame_driver.h"
#undef BACK
#undef BACK_NAME
#undef BACK_TABLE

/// The compiler must not know the number, nor that nothing is done with it. Frames come
/// in sequence, so that fills look alike.
static inline bool none_get(struct frame_thread *t, unsigned order, uint32_t *out)
{
	uint32_t f = (uint32_t)(FRAME_BASE >> KMM_PAGE_LG2);

	(void)t;
	(void)order;
	__asm__ volatile("" : "+r"(f));
	*out = f;
	return true;
}

static inline bool none_put(struct frame_thread *t, uint32_t f, unsigned order)
{
	(void)t;
	(void)order;
	__asm__ volatile("" : : "r"(f));
	return true;
}

static inline unsigned none_get_batch(struct frame_thread *t, unsigned n, struct kmm_pfn *out)
{
	(void)t;
	__asm__ volatile("" : : "r"(out) : "memory");
	return n;
}

static inline bool none_put_batch(struct frame_thread *t, unsigned n, const struct kmm_pfn *pfn)
{
	(void)t;
	(void)n;
	__asm__ volatile("" : : "r"(pfn) : "memory");
	return true;
}

#define BACK(name) none_##name
#define BACK_NAME "none"
#define BACK_TABLE frame_none
#include "frame_driver.h"
