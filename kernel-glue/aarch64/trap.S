// Ways into the kernel and back.
//
// All entries store the whole struct trapframe, since fork copies it and
// diagnostics print it. Ways back restore only what C functions may have
// clobbered: callee-saved registers still hold the interrupted values, as every
// path below returns to where it was called from (a switch to another thread and
// back included). A frame is popped exactly where it was pushed, so a trap from
// user mode finds SP_EL1 at the top of the current thread's kernel stack.

#include "arch_trapframe.h"

.macro STORE_FRAME
	sub	sp, sp, #TRAPFRAME_BYTES
	stp	x0, x1, [sp, #0]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	mrs	x0, sp_el0
	stp	x30, x0, [sp, #240]
	mrs	x0, elr_el1
	mrs	x1, spsr_el1
	stp	x0, x1, [sp, #TRAPFRAME_PC]
.endm

.macro LOAD_CLOBBERED
	ldp	x0, x1, [sp, #TRAPFRAME_PC]
	msr	elr_el1, x0
	msr	spsr_el1, x1
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldr	x18, [sp, #144]
	ldp	x0, x1, [sp, #0]
.endm

// A vector without a handler.
.macro VECTOR_BAD number
	.balign	128
	STORE_FRAME
	mov	x0, sp
	mov	x1, #\number
	mrs	x2, esr_el1
	b	trap_bad
.endm

	.text
	.balign	2048
	.global	trap_vectors
trap_vectors:
	// current EL with SP_EL0: never used
	VECTOR_BAD 0
	VECTOR_BAD 1
	VECTOR_BAD 2
	VECTOR_BAD 3

	// current EL
	.balign	128
	STORE_FRAME
	mov	x0, sp
	mrs	x1, esr_el1
	mrs	x2, far_el1
	mov	w3, #0
	bl	trap_sync
	msr	daifset, #2
	b	return_kernel

	.balign	128
	STORE_FRAME
	mov	x0, sp
	mov	w1, #0
	bl	irq_handle
	b	return_kernel

	VECTOR_BAD 6
	VECTOR_BAD 7

	// EL0, 64 bits: system calls first
	.balign	128
	STORE_FRAME
	mrs	x1, esr_el1
	lsr	x2, x1, #26
	cmp	x2, #0x15
	b.ne	user_sync
	msr	daifclr, #2
	mov	x0, sp
	bl	glue_syscall
	msr	daifset, #2
	b	return_user

	.balign	128
	STORE_FRAME
	mov	x0, sp
	mov	w1, #1
	bl	irq_handle
	b	return_user

	VECTOR_BAD 10
	VECTOR_BAD 11

	// EL0, 32 bits: never entered
	VECTOR_BAD 12
	VECTOR_BAD 13
	VECTOR_BAD 14
	VECTOR_BAD 15
	.balign	128

user_sync:
	mov	x0, sp
	mrs	x2, far_el1
	mov	w3, #1
	bl	trap_sync
	msr	daifset, #2
return_user:
	ldr	x2, [sp, #TRAPFRAME_SP]
	msr	sp_el0, x2
return_kernel:
	LOAD_CLOBBERED
	ldr	x30, [sp, #240]
	add	sp, sp, #TRAPFRAME_BYTES
	eret

// x0 = frame: a thread's first way to user mode.
	.global	arch_user_enter
arch_user_enter:
	msr	daifset, #2
	mov	sp, x0
	ldr	x19, [sp, #152]
	ldp	x20, x21, [sp, #160]
	ldp	x22, x23, [sp, #176]
	ldp	x24, x25, [sp, #192]
	ldp	x26, x27, [sp, #208]
	ldp	x28, x29, [sp, #224]
	b	return_user

// x0 = where the old stack pointer goes, x1 = the new one's place
	.global	arch_switch
	.balign	16
arch_switch:
	stp	x19, x20, [sp, #-96]!
	stp	x21, x22, [sp, #16]
	stp	x23, x24, [sp, #32]
	stp	x25, x26, [sp, #48]
	stp	x27, x28, [sp, #64]
	stp	x29, x30, [sp, #80]
	mov	x2, sp
	str	x2, [x0]
	ldr	x2, [x1]
	mov	sp, x2
	ldp	x21, x22, [sp, #16]
	ldp	x23, x24, [sp, #32]
	ldp	x25, x26, [sp, #48]
	ldp	x27, x28, [sp, #64]
	ldp	x29, x30, [sp, #80]
	ldp	x19, x20, [sp], #96
	ret

// A new context returns here with x19 = entry, x20 = its argument.
	.global	context_start
context_start:
	mov	x0, x20
	mov	x29, xzr
	mov	x30, xzr
	msr	daifclr, #2
	blr	x19
	brk	#0
