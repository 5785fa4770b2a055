/// Fibers: a stack each, and a switch that swaps the stack pointer.
///
/// A fiber that doesn't run is its stack pointer: what the calling convention keeps
/// lies on its stack, below the frame that called fiber_switch. A new one has the
/// same frame made by hand, with fiber_start as where to go on; the frame pointer and
/// the unwinder's view end there, so that a walk up the stack stops.
///
/// Stacks are mapped one at a time, with a page below that faults, and never
/// unmapped: a fiber given back goes to its host thread's list, the next one takes it
/// from there, and no system call is made. The struct lies at the stack's upper end.
///   I1  A fiber is on at most one list, and then nobody holds it.
///   I2  `current` is the fiber whose stack the host thread is on.
///
/// What is told to whom:
///   ASan      each switch, with the stack's bounds; those of the thread's own stack
///             are learnt at the first switch away from it. Poison of frames that
///             were abandoned is cleared when the fiber is given back; its fake stack,
///             if those are on, stays with the stack.
///   TSan      each switch, as one that orders nothing: only atomics and locks of the
///             code under test do. A fiber comes after its making, and being given
///             back comes after it, as with threads.
///   Valgrind  each stack; what an abandoned fiber left there is undefined again.
///
/// Limits: x86-64 and AArch64 hosts. The floating-point control words are kept on
/// x86-64, as its convention asks; AArch64's leaves FPCR to the program. No shadow
/// stacks (CET, GCS).
/// Sources: System V AMD64 ABI 1.0, 3.2.1 and figure 3.4; AAPCS64, 6.1.1, 6.1.2;
/// <sanitizer/common_interface_defs.h>.
#include "sched/fiber.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#include <sanitizer/tsan_interface.h>
#define UNWATCHED __attribute__((no_sanitize("thread")))
#else
#define UNWATCHED
#endif
#if __has_include(<valgrind/memcheck.h>)
#define FIBER_VALGRIND 1
#include <valgrind/memcheck.h>
#endif

struct fiber {
	void *sp;           /* while it doesn't run */
	void *bottom;       /* lowest byte of its stack */
	size_t bytes;
	void (*entry)(void *ctx);
	void *ctx;
	void *fake, *tsan;  /* ASan's and TSan's own */
	struct fiber *next; /* on the list of those given back */
};

/// What a host thread knows of its fibers.
struct fibers {
	struct fiber root;      /* the thread's own stack */
	struct fiber *current;  /* NULL: root, nobody has asked yet */
	struct fiber *previous; /* who switched here */
	struct fiber *unused;
};
static _Thread_local struct fibers fibers;

/* ---- the switch ---- */

/// Keeps what must be kept on this stack and its pointer in *from; goes on with `to`.
void fiber_swap(void **from, void *to);
/// Where a new fiber starts: calls fiber_main(the struct).
void fiber_start(void);
_Noreturn void fiber_main(struct fiber *f);

#if defined(__x86_64__)

/// What fiber_swap pops, lowest address first.
struct frame {
	uint32_t mxcsr;
	uint16_t x87_control, unused;
	uint64_t r15, r14, r13, r12, rbx, rbp, rip;
	uint64_t end[2]; /* keeps the stack aligned */
};

__asm__(".text\n"
	".p2align 4\n"
	".globl fiber_swap\n"
	".hidden fiber_swap\n"
	".type fiber_swap, @function\n"
	"fiber_swap:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	subq $8, %rsp\n"
	"	stmxcsr (%rsp)\n"
	"	fnstcw 4(%rsp)\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	ldmxcsr (%rsp)\n"
	"	fldcw 4(%rsp)\n"
	"	addq $8, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	/* Not a return: it would be one to somewhere else than the call came from. */
	"	popq %rcx\n"
	"	jmpq *%rcx\n"
	".size fiber_swap, . - fiber_swap\n"
	".p2align 4\n"
	".globl fiber_start\n"
	".hidden fiber_start\n"
	".type fiber_start, @function\n"
	"fiber_start:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined rip\n"
	"	movq %r12, %rdi\n"
	"	call fiber_main\n"
	"	ud2\n"
	"	.cfi_endproc\n"
	".size fiber_start, . - fiber_start\n");

static void frame_make(struct fiber *f)
{
	struct frame *at = (struct frame *)((uintptr_t)f & ~(uintptr_t)15) - 1;

	*at = (struct frame){ .r12 = (uintptr_t)f, .rip = (uintptr_t)fiber_start };
	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(at->mxcsr), "=m"(at->x87_control));
	f->sp = at;
}
_Static_assert(sizeof(struct frame) % 16 == 0 && sizeof(struct frame) == 80,
	       "fiber_start begins with an aligned stack");

#elif defined(__aarch64__)

struct frame {
	uint64_t x29, x30, x19, x20, x21, x22, x23, x24, x25, x26, x27, x28;
	uint64_t d8_to_15[8];
};

__asm__(".text\n"
	".p2align 4\n"
	".globl fiber_swap\n"
	".hidden fiber_swap\n"
	".type fiber_swap, %function\n"
	"fiber_swap:\n"
	"	stp x29, x30, [sp, #-160]!\n"
	"	stp x19, x20, [sp, #16]\n"
	"	stp x21, x22, [sp, #32]\n"
	"	stp x23, x24, [sp, #48]\n"
	"	stp x25, x26, [sp, #64]\n"
	"	stp x27, x28, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #16]\n"
	"	ldp x21, x22, [sp, #32]\n"
	"	ldp x23, x24, [sp, #48]\n"
	"	ldp x25, x26, [sp, #64]\n"
	"	ldp x27, x28, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	ldp x29, x30, [sp], #160\n"
	"	ret\n" /* not br: that would have to land on a bti */
	".size fiber_swap, . - fiber_swap\n"
	".p2align 4\n"
	".globl fiber_start\n"
	".hidden fiber_start\n"
	".type fiber_start, %function\n"
	"fiber_start:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined x30\n"
	"	mov x0, x19\n"
	"	bl fiber_main\n"
	"	brk #1\n"
	"	.cfi_endproc\n"
	".size fiber_start, . - fiber_start\n");

static void frame_make(struct fiber *f)
{
	struct frame *at = (struct frame *)((uintptr_t)f & ~(uintptr_t)15) - 1;

	*at = (struct frame){ .x19 = (uintptr_t)f, .x30 = (uintptr_t)fiber_start };
	f->sp = at;
}
_Static_assert(sizeof(struct frame) == 160, "what fiber_swap pops");

#else
#error "fibers: no switch for this host"
#endif

/* ---- what the tools are told ---- */

/// Inline, since TSan's view of the stack changes within.
static inline __attribute__((always_inline)) UNWATCHED void leave(struct fiber *from,
								   struct fiber *to)
{
	fibers.previous = from;
	fibers.current = to;
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(&from->fake, to->bottom, to->bytes);
#endif
#ifdef FIBER_TSAN
	__tsan_release(from);
	__tsan_switch_to_fiber(to->tsan, __tsan_switch_to_fiber_no_sync);
#endif
}

static UNWATCHED void arrive(struct fiber *f)
{
#ifdef FIBER_ASAN
	const void *bottom;
	size_t bytes;

	__sanitizer_finish_switch_fiber(f->fake, &bottom, &bytes);
	if (fibers.previous == &fibers.root) {
		fibers.root.bottom = (void *)(uintptr_t)bottom;
		fibers.root.bytes = bytes;
	}
#else
	(void)f;
#endif
}

/// Forgets what the stack holds from where the fiber stood.
static UNWATCHED void forget(struct fiber *f)
{
	size_t bytes = (size_t)((char *)f - (char *)f->sp);

#ifdef FIBER_ASAN
	__asan_unpoison_memory_region(f->sp, bytes);
#endif
#ifdef FIBER_TSAN
	__tsan_acquire(f);
	__tsan_destroy_fiber(f->tsan);
	f->tsan = NULL;
#endif
#ifdef FIBER_VALGRIND
	VALGRIND_MAKE_MEM_UNDEFINED(f->sp, bytes);
#endif
	(void)bytes;
}

/* ---- stacks ---- */

static struct fiber *stack_map(void)
{
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, guard + FIBER_STACK_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	struct fiber *f;

	if (at == MAP_FAILED)
		return NULL;
	if (mprotect(at, guard, PROT_NONE) != 0) {
		munmap(at, guard + FIBER_STACK_BYTES);
		return NULL;
	}
	f = (struct fiber *)(at + guard + FIBER_STACK_BYTES) - 1;
	*f = (struct fiber){ .bottom = at + guard, .bytes = FIBER_STACK_BYTES };
#ifdef FIBER_VALGRIND
	(void)VALGRIND_STACK_REGISTER(at + guard, at + guard + FIBER_STACK_BYTES);
#endif
	return f;
}

/* ---- the interface ---- */

_Noreturn UNWATCHED void fiber_main(struct fiber *f)
{
	arrive(f);
	f->entry(f->ctx);
	__builtin_trap(); /* entry must not return */
}

struct fiber *fiber_make(void (*entry)(void *ctx), void *ctx)
{
	struct fiber *f = fibers.unused;

	if (f)
		fibers.unused = f->next;
	else if (!(f = stack_map()))
		return NULL;
	f->entry = entry;
	f->ctx = ctx;
#ifdef FIBER_TSAN
	f->tsan = __tsan_create_fiber(0);
#endif
	frame_make(f);
	return f;
}

UNWATCHED struct fiber *fiber_here(void)
{
	if (!fibers.current) {
		fibers.current = &fibers.root;
#ifdef FIBER_TSAN
		fibers.root.tsan = __tsan_get_current_fiber();
#endif
	}
	return fibers.current;
}

UNWATCHED void fiber_switch(struct fiber *from, struct fiber *to)
{
	leave(from, to);
	fiber_swap(&from->sp, to->sp);
	arrive(from);
}

void fiber_free(struct fiber *f)
{
	forget(f);
	f->next = fibers.unused;
	fibers.unused = f;
}
