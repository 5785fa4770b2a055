/// Registers of an interrupted context, in the order that trap.S stores them.
/// It lies at the top of the kernel stack when it came from user mode.
#ifndef ARCH_TRAPFRAME_H
#define ARCH_TRAPFRAME_H

/* Offsets for trap.S; the assertion in arch.c ties them to the struct. */
#define TF_R15 0
#define TF_R14 8
#define TF_R13 16
#define TF_R12 24
#define TF_RBP 32
#define TF_RBX 40
#define TF_R11 48
#define TF_R10 56
#define TF_R9 64
#define TF_R8 72
#define TF_RDI 80
#define TF_RSI 88
#define TF_RDX 96
#define TF_RCX 104
#define TF_RAX 112
#define TF_VECTOR 120
#define TF_ERROR 128
#define TF_RIP 136
#define TF_CS 144
#define TF_RFLAGS 152
#define TF_RSP 160
#define TF_SS 168
#define TF_BYTES 176

#ifndef __ASSEMBLER__
#include <stdint.h>

/// cs and ss are not stored by the system call entry: whoever leaves by IRET with
/// such a frame (arch_user_enter) writes the constants.
struct trapframe {
	uint64_t r15, r14, r13, r12, rbp, rbx;
	uint64_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};
#endif

#endif
