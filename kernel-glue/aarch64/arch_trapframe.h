/// The frame that trap.S builds on the kernel stack. No floating-point state:
/// kernel and user programs are compiled for general registers only, and
/// CPACR_EL1 makes any use of the others a fault.
#ifndef GLUE_ARCH_TRAPFRAME_H
#define GLUE_ARCH_TRAPFRAME_H

#define TRAPFRAME_SP 248
#define TRAPFRAME_PC 256
#define TRAPFRAME_BYTES 272

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct trapframe {
	uint64_t x[31];  /* x30 is the link register */
	uint64_t sp;     /* SP_EL0 */
	uint64_t pc;     /* ELR_EL1 */
	uint64_t pstate; /* SPSR_EL1 */
};

_Static_assert(offsetof(struct trapframe, sp) == TRAPFRAME_SP, "trap.S");
_Static_assert(offsetof(struct trapframe, pc) == TRAPFRAME_PC, "trap.S");
_Static_assert(sizeof(struct trapframe) == TRAPFRAME_BYTES, "trap.S");
#endif

#endif
