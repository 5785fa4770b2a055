/// System-register values that boot.S and mmu.c share.
#ifndef GLUE_BOOT_CONSTS_H
#define GLUE_BOOT_CONSTS_H

#define BOOT_STACK_BYTES 16384

/// MAIR_EL1: index 0 normal memory, write-back; index 1 device nGnRE.
#define MAIR_VALUE 0x04ff

/// TCR_EL1: both halves 48 bits, 4 KiB granule, walks inner shareable and
/// write-back; IPS is added at run time. No top-byte-ignore, no hardware A/D.
#define TCR_VALUE 0xb5103510

/// SCTLR_EL1. The RES1 bits of Armv8.0 (29 28 23 22 20 11); SPAN (23) is cleared
/// later where the CPU has PAN. ITD and SED (7, 8) forbid what 32-bit code has.
#define SCTLR_OFF 0x30d00980
/// + M C SA SA0 I DZE UCT nTWI nTWE
#define SCTLR_BOOT 0x30d5d99d
#define SCTLR_WXN (1 << 19)
#define SCTLR_SPAN (1 << 23)

#endif
