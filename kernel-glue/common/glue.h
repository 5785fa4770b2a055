/// What the common files share: the instance, a spinlock, text, the command line.
#ifndef GLUE_H
#define GLUE_H

#include "arch.h"

extern struct kmm *glue_kmm;        /* NULL until the memory manager is up */
extern const struct boot_info *glue_boot;
extern uint64_t glue_online;        /* atomic; one bit a CPU that answers IPIs */

/// A leaf lock: interrupts are off while it is held, and nothing of kmm may be
/// called under it, since its holder and spinners answer no shootdown.
struct spin {
	uint32_t taken; /* atomic */
};

static inline unsigned long spin_lock(struct spin *s)
{
	unsigned long was = arch_irq_save();

	while (__atomic_exchange_n(&s->taken, 1u, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&s->taken, __ATOMIC_RELAXED))
			arch_relax();
	return was;
}

static inline void spin_unlock(struct spin *s, unsigned long was)
{
	__atomic_store_n(&s->taken, 0u, __ATOMIC_RELEASE);
	arch_irq_restore(was);
}

/* ---- console.c ---- */
/// Writes bytes as one piece: no other CPU's output comes between.
void console_write(const char *text, size_t bytes);
/// From now on the console takes no lock (panic).
void console_break_lock(void);

/* ---- command.c ---- */
/// The value of `key=` on the command line, or "".
const char *command_word(const char *key, char *out, size_t bytes);
/// Its number, or `otherwise`.
uint64_t command_number(const char *key, uint64_t otherwise);
bool text_equal(const char *a, const char *b);

/* ---- memory.c ---- */
/// Starts kmm on b's memory map, which becomes what kmm was given, and prints it.
void memory_up(struct boot_info *b);
/// What preset= says, "pagemill" without it.
const char *memory_preset_text(void);
/// What kmm was told of nodes; NULL: there is one.
const struct kmm_topology *memory_topology(void);
/// Statistics as they were before kmm had frames.
extern struct kmm_frame_stats glue_first_stats;

/* ---- record.c ---- */
/// Begins to record frames, if the command line says so; prints what was.
void record_start(void);
void record_print(void);

/* ---- panic.c ---- */
/// Prints "@end STATUS" and stops the machine.
_Noreturn void glue_end(int status);

/* ---- what a run= word starts; each returns the exit status ---- */
int trace_run(void);
int user_run(void);
int bench_run(void);
int stress_run(void);
int verdicts_run(void); /* a part of run=stress */

#endif
