/// How operations reach the simulated machine: user memory through its CPUs' MMUs, and
/// what else perform.h asks of a body.
///
/// On every KERNEL_EVERY-th page the kernel's way into user memory takes part: it writes
/// the first stamp in the user's place, and reads after the user has read.
///
/// A write that brings in another frame (a first touch, a copy) must leave the rest of
/// the page as it was: looked at word by word, right after the fault.
#include "machine/body_sim.h"

#include <string.h>

#define KERNEL_EVERY 4u /* pages of which the kernel accesses one too */

bool sim_kernel_writes(struct body *b, bool fail_armed, struct kmm_space *s, uint64_t va,
		       const uint64_t *word)
{
	bool first = va % KMM_PAGE_BYTES == ops_stamp_offset[0];
	struct kmm_va at = { va };
	bool done;

	/* An injected failure that the kernel met would be gone for the user. */
	if (fail_armed || !first || (va >> KMM_PAGE_LG2) % KERNEL_EVERY != 0)
		return false;
	crew_call_begin(&b->m);
	done = kmm_space_write(s, at, word, sizeof(*word)) == sizeof(*word);
	crew_call_end(&b->m);
	return done;
}

bool sim_kernel_reads_here(uint64_t va)
{
	return (va >> KMM_PAGE_LG2) % KERNEL_EVERY == 0 &&
	       va % KMM_PAGE_BYTES == ops_stamp_offset[1];
}

bool sim_kernel_reads(struct body *b, struct kmm_space *s, uint64_t va, uint64_t *word)
{
	struct kmm_va at = { va };
	bool done;

	crew_call_begin(&b->m);
	done = kmm_space_read(s, at, word, sizeof(*word)) == sizeof(*word);
	crew_call_end(&b->m);
	return done;
}

/// The kernel reads what the user has just read.
static void verify_kernel_reads(struct body *b, struct kmm_space *s, uint64_t va, uint64_t word)
{
	uint64_t seen = 0;

	if (!sim_kernel_reads_here(va))
		return;
	if (!sim_kernel_reads(b, s, va, &seen) || seen != word)
		machine_find(&b->m, ORACLE_CONTENTS, "at %#llx the kernel reads %#llx, the user "
			     "%#llx", (unsigned long long)va, (unsigned long long)seen,
			     (unsigned long long)word);
}

/// The frame that the tables name for va now; 0: none.
static uint64_t frame_behind(const struct machine *m, uint64_t va)
{
	struct mmu_from from = { .table = m->cpu[m->port.cpu].root,
				 .level = MMU_LEVELS - 1u, .perms = MMU_RWX };
	struct mmu_walk w;

	mmu_walk(&m->mem, &from, va, &w);
	return w.status == MMU_OK && w.level == 0 ? w.pfn : 0;
}

/// [from, to) of a page equals the old page's, or is zero if there was none.
static bool range_kept(const char *page, const char *old, uint64_t from, uint64_t to)
{
	static const char zeros[KMM_PAGE_BYTES];

	return memcmp(page + from, (old ? old : zeros) + from, to - from) == 0;
}

void sim_verify_copied(struct machine *m, uint64_t va, uint64_t was)
{
	uint64_t now = frame_behind(m, va), at = va % KMM_PAGE_BYTES;
	const char *page = (const char *)mmu_table(&m->mem, now);
	const char *old = was ? (const char *)mmu_table(&m->mem, was) : NULL;

	if (now == was || !page)
		return;
	if (!range_kept(page, old, 0, at) || !range_kept(page, old, at + 8u, KMM_PAGE_BYTES))
		machine_find(m, ORACLE_CONTENTS, "a write at %#llx brought in frame %#llx, which "
			     "isn't what was there before%s", (unsigned long long)va,
			     (unsigned long long)now, was ? "" : ": zeros");
}

static enum op_result way_access(void *ctx, struct kmm_space *s, uint64_t va,
				 enum kmm_access access, uint64_t *word)
{
	struct body *b = ctx;
	bool write = access == KMM_ACCESS_WRITE;
	enum op_result r = RESULT_OK;
	uint64_t was;

	if (b->section)
		return sim_section_access(b->section, s, va, access, word);
	was = write ? frame_behind(&b->m, va) : 0;
	if (!write || !sim_kernel_writes(b, b->p.turn.fail_armed, s, va, word))
		r = machine_access(&b->m, s, va, access, word);
	if (r == RESULT_OK && write)
		sim_verify_copied(&b->m, va, was);
	else if (r == RESULT_OK)
		verify_kernel_reads(b, s, va, *word);
	return r;
}

static void way_touch(void *ctx, const void *at, uint64_t bytes)
{
	struct body *b = ctx;

	machine_touch(&b->m, at, bytes);
	crew_new_life(&b->m, at, bytes);
}

static void way_leave(void *ctx, struct kmm_space *s)
{
	(void)ctx;
	(void)s; /* between operations a CPU only has it loaded, and kmm must see to that */
}

static void way_cpu(void *ctx, unsigned cpu)
{
	struct body *b = ctx;

	machine_switch(&b->m, cpu);
}

static void way_complain(void *ctx, enum oracle oracle, const char *text)
{
	struct body *b = ctx;

	machine_find(&b->m, oracle, "%s", text);
}

static void way_call(void *ctx, bool begin)
{
	struct body *b = ctx;

	if (begin)
		crew_call_begin(&b->m);
	else
		crew_call_end(&b->m);
}

const struct perform_ways sim_ways = { way_access, way_touch, way_leave, way_cpu, way_complain,
				       way_call };
