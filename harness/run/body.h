/// A body performs operations one by one. The model is one; so is kmm on the
/// simulated machine and on host threads. (The QEMU bodies take a whole trace
/// and answer with digests: run/guest.h.)
#ifndef BODY_H
#define BODY_H

#include "ops/ops.h"

#define FINDING_TEXT_BYTES 240u
#define FINDING_MORE_BYTES 1024u

/// Oracles, named in findings, traces and the database.
#define ORACLES(X)                                              \
	X(ORACLE_NONE, "none")                                  \
	X(ORACLE_MODEL, "model")         /* result or value differs from the model's */ \
	X(ORACLE_INVARIANT, "invariant") /* a unit's _check, or an assertion */ \
	X(ORACLE_LEDGER, "ledger")       /* one frame handed out twice, or lost */ \
	X(ORACLE_CONTENTS, "contents")   /* memory holds what nobody wrote */ \
	X(ORACLE_TLB, "tlb")             /* a stale translation grants what the tables don't */ \
	X(ORACLE_WALK, "walk")           /* table bytes disagree with what was asked */ \
	X(ORACLE_UNCHANGED, "unchanged") /* a failed operation changed state */ \
	X(ORACLE_LEAK, "leak")           /* frames left at teardown */ \
	X(ORACLE_PANIC, "panic")         /* kmm called the port's panic */ \
	X(ORACLE_SANITIZER, "sanitizer") /* ASan, UBSan, a crash signal */ \
	X(ORACLE_HANG, "hang")           /* an operation did not end: deadlock, livelock, lost wake-up */ \
	X(ORACLE_RACE, "race")           /* accesses that nothing orders, one of them plain */ \
	X(ORACLE_CONTEXT, "context")     /* what must not be done with interrupts on, or off */ \
	X(ORACLE_LINEAR, "linear")       /* no order of concurrent operations explains the outcomes */

enum oracle {
#define ORACLE_ENUM(name, text) name,
	ORACLES(ORACLE_ENUM)
#undef ORACLE_ENUM
	ORACLE_N
};

extern const char *const oracle_text[ORACLE_N];

/// A verdict against a body. oracle == ORACLE_NONE: nothing found.
struct finding {
	enum oracle oracle;
	uint32_t op_index; /* set by the player */
	char text[FINDING_TEXT_BYTES];
	char more[FINDING_MORE_BYTES]; /* the same at length, if there is more to say; or empty */
};

struct body_options {
	const char *preset; /* NULL: "pagemill" */
	const char *format; /* NULL: "x86_64" */
	unsigned cpus_n;    /* 0: 2 */
	uint64_t frames_n;  /* managed memory; 0: 4096 */
	uint64_t seed;      /* the adversary's */
};

/// Where a self-test turns over a bit.
enum body_flip {
	FLIP_TABLE,    /* an entry of a space's page tables */
	FLIP_CONTENTS, /* a stamp of a page that a space can read */
};

struct body; /* each body's own */
struct section;
struct history;
struct sched;
struct sched_strategy;

struct body_class {
	const char *name;

	/// Makes one. Returns NULL and sets *out, or one line that says why not.
	const char *(*start)(struct body **out, const struct body_options *o);

	/// Performs one operation of side OP_KERNEL or OP_USER, or OP_CHECKPOINT,
	/// OP_CPU, OP_FAIL. Pre: !ops_names_skip. `n` is the names before it.
	void (*perform)(struct body *b, const struct op *op, const struct ops_names *n,
			struct op_outcome *out);

	/// Everything this body can check after an operation; `thorough` asks for
	/// the full walks too. Leaves f->oracle ORACLE_NONE if nothing is found.
	/// `failed`: the operation returned an error, so that state must be as before.
	void (*verify)(struct body *b, bool thorough, bool failed, struct finding *f);

	/// Performs a concurrent section; NULL: can't. `names` follows as operations
	/// end. The choices made are left in *run, outcomes in *h; `strategy` makes
	/// them. Operations that s marks, or whose names mean nothing when they begin,
	/// have the outcome RESULT_SKIP.
	void (*together)(struct body *b, const struct section *s, struct ops_names *names,
			 struct sched *run, struct sched_strategy *strategy,
			 struct history *h);

	/// Did an injected failure happen in the last operation?
	bool (*injected)(struct body *b);

	/// Tears down and frees b; a leak is a finding.
	void (*finish)(struct body *b, struct finding *f);

	/// Turns over one bit, to prove that the oracles see it. `nth` picks among
	/// what there is. Returns false if there is nothing to turn. NULL: can't.
	bool (*flip)(struct body *b, enum body_flip what, uint64_t nth);
};

extern const struct body_class body_sim;     /* harness/machine/body_sim.c */
extern const struct body_class body_threads; /* harness/threads/body_threads.c */

#endif
