/// The operation language: one table from which the binary decoder, the text
/// form, the generator, the mutator and the players are all derived.
/// Freestanding: the kernels link it too.
#ifndef OPS_H
#define OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits of the language. */
#define OPS_SPACES 16u       /* address spaces, by number */
#define OPS_WINDOWS 12u      /* fixed windows 0..7, placed windows 8..10, the heap 11 */
#define OPS_FIXED_WINDOWS 8u
#define OPS_HEAP_WINDOW 11u
#define OPS_WINDOW_PAGES 64u
#define OPS_SLOTS 64u        /* frame slots, and as many object slots */
#define OPS_CPUS 8u          /* taken modulo the body's CPUs */
#define OPS_ORDER_MAX 9u
#define OPS_OBJECT_BYTES_MAX 20000u
#define OPS_RANGE_MAX 1024u  /* frames of a range */
#define OPS_SPOTS 16u        /* equal parts of physical memory, holes included */
#define OPS_ARGS 5u

/// Kinds of operands; each has an exclusive upper bound. Their text forms are a
/// sigil and a decimal number (text.c), except prot (letters r, w, x or -) and
/// class (a word).
#define OPS_OPERANDS(X)                       \
	X(OPERAND_NONE, 1)                    \
	X(OPERAND_SLOT, OPS_SLOTS)            \
	X(OPERAND_ORDER, OPS_ORDER_MAX + 1)   \
	X(OPERAND_BYTES, OPS_OBJECT_BYTES_MAX + 1) /* zero becomes one */ \
	X(OPERAND_SPACE, OPS_SPACES)          \
	X(OPERAND_WINDOW, OPS_FIXED_WINDOWS)  /* fixed only */ \
	X(OPERAND_PLACED, 3)                  /* window 8 + value */ \
	X(OPERAND_ANY_WINDOW, OPS_WINDOWS)    \
	X(OPERAND_PAGE, OPS_WINDOW_PAGES)     \
	X(OPERAND_PAGES, OPS_WINDOW_PAGES + 1) /* cut at the window's end; zero becomes one */ \
	X(OPERAND_BREAK, OPS_WINDOW_PAGES + 1) /* zero allowed */ \
	X(OPERAND_PROT, 8)                    /* enum kmm_prot */ \
	X(OPERAND_PATTERN, 256)               \
	X(OPERAND_CPU, OPS_CPUS)              \
	X(OPERAND_CLASS, 3)                   /* enum kmm_fail_class */ \
	X(OPERAND_KTH, 256)                   /* zero becomes one */ \
	X(OPERAND_STRATEGY, 6)                /* enum section_strategy (run/section.h) */ \
	X(OPERAND_SEED, 65535)                \
	X(OPERAND_POINT, 65535)               /* zero becomes one */ \
	X(OPERAND_OLDER, 8)                   /* zero becomes one */ \
	X(OPERAND_TARGET, 64)                 /* what a walker looks at */ \
	X(OPERAND_FLAGS, 256)                 /* of frames: OPS_FLAG_*, zone above them */ \
	X(OPERAND_NODES, 13)                  /* which nodes: ops_nodes_* */ \
	X(OPERAND_COUNT, OPS_RANGE_MAX + 1)   /* zero becomes one */ \
	X(OPERAND_LIMITS, 5)                  /* none, low, high, middle, turned */ \
	X(OPERAND_SWITCH, 2)                  /* off, on */ \
	X(OPERAND_SPOT, OPS_SPOTS) \
	X(OPERAND_STASH, 65)                  /* zero allowed */

enum operand_kind {
#define OPS_OPERAND_ENUM(name, end) name,
	OPS_OPERANDS(OPS_OPERAND_ENUM)
#undef OPS_OPERAND_ENUM
	OPERAND_N
};

/// Who performs an operation: a kernel thread, a user-mode player (the first
/// operand is then the space), or the player itself.
enum op_side { OP_KERNEL, OP_USER, OP_PLAYER };

/// name, text, side, five operand kinds. Codes are the order in this table: add at
/// the end only, so that old binary traces keep their meaning.
#define OPS_TABLE(X)                                                                          \
	X(OP_FRAME_ALLOC, "frame-alloc", OP_KERNEL, SLOT, ORDER, NONE, NONE, NONE)            \
	X(OP_FRAME_FREE, "frame-free", OP_KERNEL, SLOT, NONE, NONE, NONE, NONE)               \
	X(OP_OBJECT_ALLOC, "object-alloc", OP_KERNEL, SLOT, BYTES, NONE, NONE, NONE)          \
	X(OP_OBJECT_FREE, "object-free", OP_KERNEL, SLOT, NONE, NONE, NONE, NONE)             \
	X(OP_MAP, "map", OP_USER, SPACE, WINDOW, PAGE, PAGES, PROT)                           \
	X(OP_PLACE, "place", OP_USER, SPACE, PLACED, PAGES, PROT, NONE)                       \
	X(OP_UNMAP, "unmap", OP_USER, SPACE, ANY_WINDOW, PAGE, PAGES, NONE)                   \
	X(OP_PROTECT, "protect", OP_USER, SPACE, ANY_WINDOW, PAGE, PAGES, PROT)               \
	X(OP_BREAK, "brk", OP_USER, SPACE, BREAK, NONE, NONE, NONE)                           \
	X(OP_READ, "read", OP_USER, SPACE, ANY_WINDOW, PAGE, PAGES, NONE)                     \
	X(OP_WRITE, "write", OP_USER, SPACE, ANY_WINDOW, PAGE, PAGES, PATTERN)                \
	X(OP_FORK, "fork", OP_USER, SPACE, SPACE, NONE, NONE, NONE)                           \
	X(OP_EXIT, "exit", OP_USER, SPACE, NONE, NONE, NONE, NONE)                            \
	X(OP_CPU, "cpu", OP_PLAYER, CPU, NONE, NONE, NONE, NONE)                              \
	X(OP_FAIL, "fail", OP_PLAYER, CLASS, KTH, NONE, NONE, NONE)                           \
	X(OP_CHECKPOINT, "checkpoint", OP_PLAYER, NONE, NONE, NONE, NONE, NONE)               \
	X(OP_TOGETHER, "together", OP_PLAYER, STRATEGY, SEED, NONE, NONE, NONE)               \
	X(OP_JOIN, "join", OP_PLAYER, NONE, NONE, NONE, NONE, NONE)                           \
	X(OP_SWITCH, "switch", OP_PLAYER, POINT, CPU, NONE, NONE, NONE)                       \
	X(OP_DEFER, "defer", OP_PLAYER, POINT, NONE, NONE, NONE, NONE)                        \
	X(OP_STALE, "stale", OP_PLAYER, POINT, OLDER, NONE, NONE, NONE)                       \
	X(OP_WALK, "walk", OP_PLAYER, POINT, CPU, TARGET, NONE, NONE)                         \
	X(OP_INTERRUPT, "interrupt", OP_PLAYER, NONE, NONE, NONE, NONE, NONE)                 \
	X(OP_DRAIN, "drain", OP_KERNEL, NONE, NONE, NONE, NONE, NONE)                         \
	X(OP_FRAME_ALLOC_ON, "frame-alloc-on", OP_KERNEL, SLOT, ORDER, FLAGS, NODES, NONE)    \
	X(OP_RANGE_ALLOC, "range-alloc", OP_KERNEL, SLOT, COUNT, ORDER, FLAGS, LIMITS)        \
	X(OP_FRAME_FREE_ZEROED, "frame-free-zeroed", OP_KERNEL, SLOT, NONE, NONE, NONE, NONE) \
	X(OP_ZERO_IDLE, "zero-idle", OP_KERNEL, KTH, NONE, NONE, NONE, NONE)                  \
	X(OP_ISOLATE, "isolate", OP_KERNEL, SWITCH, SPOT, NONE, NONE, NONE)                   \
	X(OP_PLUG, "plug", OP_KERNEL, SWITCH, SPOT, NONE, NONE, NONE)                         \
	X(OP_LISTEN, "listen", OP_KERNEL, STASH, NONE, NONE, NONE, NONE)

enum op_code {
#define OPS_CODE_ENUM(name, text, side, a, b, c, d, e) name,
	OPS_TABLE(OPS_CODE_ENUM)
#undef OPS_CODE_ENUM
	OP_N
};

/* OPERAND_FLAGS: bits 4:0 as enum kmm_frame_flags has them; bits 7:5 the zone's kind plus
 * one, 0 = none. Some values mean nothing, and must be refused. */
#define OPS_FLAG_ZERO 1u
#define OPS_FLAG_NOWAIT 4u
#define OPS_FLAG_RESERVE 8u
#define OPS_FLAG_ONLY 16u
#define OPS_FLAG_BITS 31u
#define OPS_FLAG_ZONE_LG2 5u

/* OPERAND_LIMITS: the one that makes no sense. */
#define OPS_LIMITS_TURNED 4u

/// Flags that every body accepts?
bool ops_flags_valid(unsigned flags);

/// May the flags and nodes leave out memory that a plain allocation could have?
bool ops_restricts(unsigned flags, unsigned nodes);

/* OPERAND_NODES: 0 none named; then bind to, prefer, interleave over the sets 0 to 3 of
 * nodes 0 and 1. */
static inline unsigned ops_nodes_kind(unsigned nodes) { return (nodes + 3u) / 4u; }
static inline unsigned ops_nodes_set(unsigned nodes) { return (nodes + 3u) % 4u; }

struct op_info {
	const char *text;
	enum op_side side;
	uint8_t operand[OPS_ARGS]; /* enum operand_kind */
};

extern const struct op_info ops_table[OP_N];
extern const uint16_t ops_operand_end[OPERAND_N];

/// One operation, and exactly its binary form: 12 bytes, little-endian.
struct op {
	uint8_t code, pad;
	uint16_t arg[OPS_ARGS];
};
_Static_assert(sizeof(struct op) == 12, "binary form of an operation");

/// Header of a binary trace file: magic, version, number of operations.
#define OPS_MAGIC "PGMTRACE"
#define OPS_VERSION 1u
struct ops_header {
	char magic[8];
	uint32_t version;
	uint32_t ops_n;
};

/// Brings any bytes into the language: code and operands modulo their ends, pages
/// cut at the window's end, unused operands zero. (What the fuzzers' inputs pass.)
struct op ops_normalise(struct op raw);

/// Is it in the language as it stands? (What files must be.) NULL, or what isn't.
const char *ops_fault(const struct op *op);

/// Results an operation can have, the same in every body.
#define OPS_RESULTS(X)                                                           \
	X(RESULT_OK, "ok")                                                       \
	X(RESULT_SKIP, "skip")       /* its names make it meaningless here: empty slot, dead space … */ \
	X(RESULT_NOMEM, "nomem")                                                 \
	X(RESULT_INVAL, "inval")                                                 \
	X(RESULT_ACCES, "acces")                                                 \
	X(RESULT_LIMIT, "limit")                                                 \
	X(RESULT_UNSUPPORTED, "unsupported")                                     \
	X(RESULT_SEGV, "segv")       /* read, write: refused at the page in `value`'s low byte */ \
	X(RESULT_CORRUPT, "corrupt") /* a block held what its owner never wrote */ \
	X(RESULT_ERROR, "error")     /* anything no rule foresees */

enum op_result {
#define OPS_RESULT_ENUM(name, text) name,
	OPS_RESULTS(OPS_RESULT_ENUM)
#undef OPS_RESULT_ENUM
	RESULT_N
};

extern const char *const ops_result_text[RESULT_N];

/// What one operation did: the transcript is a sequence of these.
struct op_outcome {
	uint32_t result; /* enum op_result */
	uint64_t value;  /* read: digest of the stamps seen; checkpoint: of all contents */
};

/* Pages and stamps: a write of pattern p stores OPS_STAMPS words into the page; a
 * read folds the same words. A page never written holds zeros. */
#define OPS_STAMPS 4u
extern const uint16_t ops_stamp_offset[OPS_STAMPS]; /* 0, 1352, 2744, 4088 */
uint64_t ops_stamp(unsigned pattern, unsigned window, unsigned page, unsigned i);

/// Where windows lie, in every body. Even fixed windows straddle a 2 MiB line,
/// odd ones a 1 GiB line, half before and half after. Placed windows have no
/// fixed base: 0.
uint64_t ops_window_base(unsigned window);

/* The pieces of an operation's meaning that every body shares. A "page" below is
 * where the body reaches its 4096 bytes. */
#define OPS_UNREADABLE 0xdeadull /* folded for a page that can't be read */

/// Folds a page's stamps; writes them.
uint64_t ops_page_fold(uint64_t digest, const void *page_at);
void ops_page_fill(void *page_at, unsigned pattern, unsigned window, unsigned page);

/// The value of a read that was refused at `page` after folding those before it.
uint64_t ops_refused_read(uint64_t digest, unsigned page);

/// What an owner writes into a frame block or object it got, and looks for before
/// it frees it: one word per OPS_BLOCK_STRIDE bytes, and the last 24 bytes whole.
/// Pre:    at 8-byte aligned
#define OPS_BLOCK_STRIDE 512u
void ops_block_fill(void *at, uint64_t bytes, uint64_t key);
bool ops_block_intact(const void *at, uint64_t bytes, uint64_t key);

/// Digest: a 64-bit fold, order-sensitive, defined in harness/README.md.
#define OPS_DIGEST_START 0xcbf29ce484222325ull
uint64_t ops_fold(uint64_t digest, uint64_t word);
uint64_t ops_fold_outcome(uint64_t digest, uint32_t index, const struct op *op,
			  const struct op_outcome *out);

/// What must be known of a run's names to tell a meaningless operation; the same
/// code decides it in every body. All-zero with space 0 alive is the start.
struct ops_names {
	uint64_t frame_slots, object_slots; /* bit set: taken */
	uint32_t spaces;                    /* bit set: alive */
	uint16_t placed[OPS_SPACES];        /* bit w-8 set: placed window w is bound */
	uint8_t frame_order[OPS_SLOTS];     /* of a block */
	uint16_t frame_n[OPS_SLOTS];        /* of a range; 0: it is a block */
	uint16_t isolated, absent;          /* bit set: the spot is */
	uint16_t object_bytes[OPS_SLOTS];
	uint8_t placed_pages[OPS_SPACES][3];
	uint8_t cpu;                        /* as in the trace, before the modulo */
};

void ops_names_start(struct ops_names *n);

/// Would this operation be skipped? frame-free of an empty slot, alloc into a taken
/// one, a user operation of a dead space, fork onto a live one, exit of space 0,
/// place on a bound window, a spot that is in that state already, and what touches an
/// unbound placed window or starts beyond its pages. A skipped operation's outcome is
/// RESULT_SKIP, value 0.
bool ops_names_skip(const struct ops_names *n, const struct op *op);

/// Follows an operation that was performed with this result.
void ops_names_follow(struct ops_names *n, const struct op *op, enum op_result result);

/// Pages an operation on a range really touches, after the cut at the window's end.
/// An unmap of a placed window always reaches that end and shortens the window (to
/// nothing: unbinds it), since a hole might be handed out again to the next place,
/// and two names would mean one page.
unsigned ops_range_pages(const struct ops_names *n, const struct op *op);

/// Pages of a window that a checkpoint looks at: 64; a placed window's own; 0 if it
/// is unbound.
unsigned ops_window_pages(const struct ops_names *n, unsigned space, unsigned window);

#endif
