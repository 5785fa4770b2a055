/// A concurrent section of a trace: what stands between `together` and `join`. Its
/// operations belong to the CPU that the last `cpu` named, and each CPU performs its
/// own in order, all CPUs at once. Rows that choose (switch, defer, stale, walk), and
/// fail and interrupt, hold for the next kernel or user operation of their CPU; after
/// its last one they hold for what it does while it idles.
///
/// Names stay meaningful whatever the order: a slot, a placed window or a space that is
/// forked to belongs, within a section, to the CPU that names it first; what another CPU
/// does with it is skipped, and so is an exit of a space that another CPU names. What a
/// CPU does in interrupt handlers counts as another CPU's. A fork copies which placed
/// windows are bound: it and what binds or unbinds one in the same space keep to one CPU
/// as well.
#ifndef SECTION_H
#define SECTION_H

#include "ops/ops.h"
#include "sched/sched.h"

#define SECTION_OPS_MAX 32u
#define SECTION_ROWS_MAX SCHED_CHOICES_MAX
#define SECTION_IDLE 0xffffu /* sched_key.op of a CPU without an operation */

/// The value of a SCHED_WALK choice: the walker of which CPU looks, and at what (the
/// body's own code). 0 is the default: nobody does.
static inline uint16_t section_walk(unsigned cpu, unsigned target)
{
	return (uint16_t)(1u + cpu * 64u + target);
}
static inline unsigned section_walk_cpu(uint16_t value)
{
	return (value - 1u) / 64u;
}
static inline unsigned section_walk_target(uint16_t value)
{
	return (value - 1u) % 64u;
}

enum section_strategy {
	SECTION_ROWS,   /* by the rows alone */
	SECTION_RANDOM, /* random, from the seed */
	SECTION_PCT1, SECTION_PCT2, SECTION_PCT3, SECTION_PCT4,
	SECTION_STRATEGY_N
};

struct section_op {
	struct op op;
	uint32_t index;    /* in the trace */
	uint8_t cpu;       /* modulo the body's CPUs */
	bool skip;         /* its names belong to another CPU */
	bool interrupt;    /* performed by an interrupt handler of its CPU */
	bool fails;        /* a failure is armed */
	uint8_t fail_class;
	uint16_t fail_kth;
};

struct section {
	uint32_t first, trace_n; /* the rows of the trace it takes, both ends included */
	unsigned cpus_n;
	uint8_t cpu_last;        /* as named in the trace, where it goes on */
	uint32_t busy;           /* CPUs with operations, a bit each */
	enum section_strategy strategy;
	uint16_t seed;
	unsigned n;
	struct section_op op[SECTION_OPS_MAX];
	uint32_t rows_n;
	struct sched_choice row[SECTION_ROWS_MAX];
};

/// Reads the section that begins at ops[at] (OP_TOGETHER). A section without `join`
/// ends with the trace; operations beyond SECTION_OPS_MAX are skipped; checkpoints and
/// nested `together` within one are nothing. `names`: as they are before it.
/// Afterwards s->first + s->trace_n is where the trace goes on, on the CPU that was
/// named last.
void section_read(struct section *s, const struct op *ops, uint32_t ops_n, uint32_t at,
		  const struct ops_names *names, unsigned cpus_n);

/// Rewrites ops in place so that its section at s->first is played by rows: the
/// choices of a run instead of those it had. Returns: the new length, or 0 if it would
/// exceed `room`, or if a choice is beyond what rows can say
uint32_t section_fix(const struct section *s, const struct sched_choice *choice,
		     uint32_t choices_n, struct op *ops, uint32_t ops_n, uint32_t room);

/// The strategy that the section asks for, with its rows as forced choices on top of
/// what random and PCT choose.
struct section_chooser {
	struct sched_strategy strategy;
	struct sched_rows rows;
	struct sched_random random;
	struct sched_pct pct;
	struct sched_strategy *others; /* random or PCT */
	const struct section *section;
};
struct sched_strategy *section_strategy(struct section_chooser *c, const struct section *s);

#endif
