// Image header, the way from the loader's state to C, and the two pieces of code
// that must run identity-mapped. Until the MMU is on there are no locks and no
// exclusives: on real cores they fault on uncached memory.

#include "boot_consts.h"

	.section .head.text, "ax"
	.global _head
_head:
	b	start                   // Linux Documentation/arm64/booting.rst
	.long	0
	.quad	0                       // load offset from a 2 MiB boundary
	.quad	__image_bytes           // .bss and tables included
	.quad	0xa                     // little endian, 4 KiB pages, anywhere in memory
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0

// x0 = device tree. MMU off, caches in any state, EL2 or EL1.
start:
	mov	x20, x0
	msr	daifset, #0xf
	bl	to_el1
	adrp	x0, boot_stack_top
	mov	sp, x0
	adrp	x0, __boot_tables_start
	adrp	x1, __boot_tables_end
1:	stp	xzr, xzr, [x0], #16
	cmp	x0, x1
	b.ne	1b
	mov	x0, x20
	bl	mmu_boot_tables         // C, but with nothing but relative addresses
	adrp	x0, boot_root
	add	x0, x0, :lo12:boot_root
	ldr	x1, =SCTLR_BOOT
	bl	mmu_on
	ldr	x0, =1f
	br	x0
1:	ldr	x0, =__bss_start
	ldr	x1, =__bss_end
2:	stp	xzr, xzr, [x0], #16
	cmp	x0, x1
	b.ne	2b
	ldr	x0, =boot_stack_top
	mov	sp, x0
	mov	x29, xzr
	mov	x30, xzr
	mov	x0, x20
	b	arch_main

// A CPU that PSCI started: x0 = physical address of its struct smp_start.
	.global	smp_entry
smp_entry:
	mov	x20, x0
	msr	daifset, #0xf
	bl	to_el1
	ldp	x0, x1, [x20]           // root, SCTLR
	bl	mmu_on
	ldp	x0, x2, [x20, #16]      // id, stack: TTBR0 maps them one to one
	mov	sp, x2
	mov	x29, xzr
	ldr	x1, =smp_main
	mov	x30, xzr
	br	x1

// Returns at EL1 with a known SCTLR_EL1, whichever level called it.
to_el1:
	ldr	x1, =SCTLR_OFF
	msr	sctlr_el1, x1
	isb
	mrs	x1, CurrentEL
	cmp	x1, #0x8
	b.eq	1f
	ret
1:	mov	x1, #0x80000000         // HCR_EL2.RW: EL1 is AArch64
	msr	hcr_el2, x1
	mov	x1, #3                  // EL1 reads the physical counter and timer
	msr	cnthctl_el2, x1
	msr	cntvoff_el2, xzr
	mov	x1, #0x33ff             // CPTR_EL2: its RES1 bits, no traps
	msr	cptr_el2, x1
	msr	hstr_el2, xzr
	mrs	x1, midr_el1
	msr	vpidr_el2, x1
	mrs	x1, mpidr_el1
	msr	vmpidr_el2, x1
	mov	x1, #0x3c5              // EL1h, all masked
	msr	spsr_el2, x1
	msr	elr_el2, x30
	eret

// x0 = TTBR1 root, x1 = SCTLR_EL1; both trees must map what runs next.
mmu_on:
	ldr	x2, =MAIR_VALUE
	msr	mair_el1, x2
	ldr	x2, =TCR_VALUE
	mrs	x3, id_aa64mmfr0_el1    // PARange -> IPS, at most 48 bits
	and	x3, x3, #0xf
	mov	x4, #5
	cmp	x3, x4
	csel	x3, x3, x4, lo
	orr	x2, x2, x3, lsl #32
	msr	tcr_el1, x2
	adrp	x2, boot_identity_root
	add	x2, x2, :lo12:boot_identity_root
	msr	ttbr0_el1, x2
	msr	ttbr1_el1, x0
	msr	cpacr_el1, xzr          // floating point traps
	msr	mdscr_el1, xzr
	mov	x2, #2                  // EL0 may read CNTVCT
	msr	cntkctl_el1, x2
	isb
	tlbi	vmalle1
	ic	iallu
	dsb	nsh
	isb
	msr	sctlr_el1, x1
	isb
	ret

// Called at its physical address, through TTBR0: exchanges TTBR1's tree for x0
// and SCTLR_EL1 for x1. In between the upper half is empty, so that no walk can
// mix the old tree's blocks with the new one's pages. x2 = an empty table.
	.global	mmu_replace
mmu_replace:
	dsb	ishst
	msr	ttbr1_el1, x2
	isb
	tlbi	vmalle1
	dsb	nsh
	isb
	msr	ttbr1_el1, x0
	msr	sctlr_el1, x1
	isb
	tlbi	vmalle1
	dsb	nsh
	isb
	ret

	.bss
	.balign	4096
	.space	BOOT_STACK_BYTES
	.global	boot_stack_top
boot_stack_top:
	.balign	4096                    // adrp alone finds the top
