/* Ways into the kernel and back.
 *
 * All entries store the whole struct trapframe, since fork copies it and
 * diagnostics print it. Ways back restore only what C functions may have
 * clobbered: callee-saved registers still hold the interrupted values, as
 * every path below returns to where it was called from (a switch to another
 * thread and back included). */
#include "arch_trapframe.h"
#include "percpu.h"

	.text

/* ---- SYSCALL: RCX = return address, R11 = flags, IF and AC masked ---- */
	.globl trap_syscall
	.balign 16
trap_syscall:
	swapgs
	movq %rsp, %gs:PERCPU_USER_SP
	movq %gs:PERCPU_KERNEL_FRAME, %rsp
	movq %rcx, TF_RIP(%rsp)
	movq %gs:PERCPU_USER_SP, %rcx
	movq %r11, TF_RFLAGS(%rsp)
	movq %rcx, TF_RSP(%rsp)
	movq %rax, TF_RAX(%rsp)
	movq %rdx, TF_RDX(%rsp)
	movq %rsi, TF_RSI(%rsp)
	movq %rdi, TF_RDI(%rsp)
	movq %r8, TF_R8(%rsp)
	movq %r9, TF_R9(%rsp)
	movq %r10, TF_R10(%rsp)
	movq %rbx, TF_RBX(%rsp)
	movq %rbp, TF_RBP(%rsp)
	movq %r12, TF_R12(%rsp)
	movq %r13, TF_R13(%rsp)
	movq %r14, TF_R14(%rsp)
	movq %r15, TF_R15(%rsp)
	movq %rsp, %rdi
	sti
	call glue_syscall
	cli
	movq TF_RIP(%rsp), %rcx
	/* SYSRET to a non-canonical address faults in ring 0 on the user's stack */
	btq $47, %rcx
	jc trap_user_exit
	movq TF_RFLAGS(%rsp), %r11
	movq TF_RAX(%rsp), %rax
	movq TF_RDX(%rsp), %rdx
	movq TF_RSI(%rsp), %rsi
	movq TF_RDI(%rsp), %rdi
	movq TF_R8(%rsp), %r8
	movq TF_R9(%rsp), %r9
	movq TF_R10(%rsp), %r10
	movq TF_RSP(%rsp), %rsp
	swapgs
	sysretq

/* ---- user mode for the first time, or by IRET: RDI = frame ---- */
	.globl arch_user_enter
arch_user_enter:
	cli
	movq %rdi, %rsp
trap_user_exit:
	movq $SEL_USER_CODE, TF_CS(%rsp)
	movq $SEL_USER_DATA, TF_SS(%rsp)
	movq TF_R15(%rsp), %r15
	movq TF_R14(%rsp), %r14
	movq TF_R13(%rsp), %r13
	movq TF_R12(%rsp), %r12
	movq TF_RBP(%rsp), %rbp
	movq TF_RBX(%rsp), %rbx
	jmp trap_return_user

/* ---- exceptions and interrupts ---- */
.macro STORE_REGISTERS
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	cld
.endm

	.balign 16
trap_common:
	STORE_REGISTERS
	testb $3, TF_CS(%rsp)
	jz 1f
	swapgs
	.globl trap_clac_common
trap_clac_common:
	clac
1:	movq %rsp, %rdi
	call trap_dispatch
	cli
trap_return:
	testb $3, TF_CS(%rsp)
	jz trap_return_kernel
trap_return_user:
	swapgs
trap_return_kernel:
	movq TF_R11(%rsp), %r11
	movq TF_R10(%rsp), %r10
	movq TF_R9(%rsp), %r9
	movq TF_R8(%rsp), %r8
	movq TF_RDI(%rsp), %rdi
	movq TF_RSI(%rsp), %rsi
	movq TF_RDX(%rsp), %rdx
	movq TF_RCX(%rsp), %rcx
	movq TF_RAX(%rsp), %rax
	addq $TF_RIP, %rsp
	iretq

/* Page faults are the hot exception: straight to their handler. */
	.balign 16
trap_14:
	pushq $14
	STORE_REGISTERS
	movq %cr2, %rsi
	movq %rsp, %rdi
	testb $3, TF_CS(%rsp)
	jz 1f
	swapgs
	.globl trap_clac_fault
trap_clac_fault:
	clac
1:	call trap_page_fault
	cli
	jmp trap_return

.macro TRAP vector
trap_\vector:
	/* the CPU pushes an error code for 8, 10-13, (14,) 17 and 21 only */
	.if (\vector != 8) && ((\vector < 10) || (\vector > 13)) && (\vector != 17)
	.if \vector != 21
	pushq $0
	.endif
	.endif
	pushq $\vector
	jmp trap_common
.endm

.altmacro
.macro TRAP_EACH vector
	TRAP \vector
.endm
	.set i, 0
	.rept 256
	.if i != 14
	TRAP_EACH %i
	.endif
	.set i, i + 1
	.endr

.macro TRAP_ADDRESS vector
	.quad trap_\vector
.endm
	.section .rodata
	.balign 8
	.globl trap_table
trap_table:
	.set i, 0
	.rept 256
	TRAP_ADDRESS %i
	.set i, i + 1
	.endr

/* ---- threads: RDI = where the old stack pointer goes, RSI = the new one's place ---- */
	.text
	.globl arch_switch
	.balign 16
arch_switch:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq (%rsi), %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret

/* A new context returns here with R12 = entry, R13 = its argument. */
	.globl context_start
context_start:
	movq %r13, %rdi
	xorl %ebp, %ebp
	sti
	call *%r12
	ud2
	.section .note.GNU-stack, "", %progbits
