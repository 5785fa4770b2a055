/* Entry. PVH (Xen's direct boot ABI, "x86/HVM direct boot"): a note of type 18
 * names a 32-bit entry; EBX holds start_info's physical address, paging off.
 * Other CPUs come in through the trampoline, which smp.c copies to TRAMPOLINE_PA.
 * Both go by the boot tables: the first 4 GiB at 0 and at the direct map, and the
 * first GiB at KERNEL_VMA. */
#include "percpu.h"

#define PA(symbol) ((symbol) - KERNEL_VMA)
#define CR0_BITS 0x80010021 /* PG WP NE PE */
#define CR4_BITS 0x000000a0 /* PGE PAE */
#define EFER_BITS 0x00000901 /* NXE LME SCE */

	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 4, 18
	.asciz "Xen"
	.long PA(pvh_entry)

	.section .boot.text, "ax"
	.code32
	.globl pvh_entry
pvh_entry:
	cli
	cld
	movl %ebx, %esi
	movl $PA(bss_start), %edi
	movl $PA(bss_end), %ecx
	subl %edi, %ecx
	shrl $2, %ecx
	xorl %eax, %eax
	rep stosl

	/* four directories of 2 MiB pages */
	movl $PA(boot_pd), %edi
	movl $0x83, %eax
	movl $2048, %ecx
1:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b
	movl $PA(boot_pd) + 3, %eax
	movl $PA(boot_pdpt_low), %edi
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	loop 1b
	movl $PA(boot_pd) + 3, PA(boot_pdpt_high) + 510 * 8
	movl $PA(boot_pdpt_low) + 3, PA(boot_pml4)
	movl $PA(boot_pdpt_low) + 3, PA(boot_pml4) + 256 * 8
	movl $PA(boot_pdpt_high) + 3, PA(boot_pml4) + 511 * 8

	lgdt PA(boot_gdt_pointer)
	movl $CR4_BITS, %eax
	movl %eax, %cr4
	movl $PA(boot_pml4), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $EFER_BITS, %eax
	wrmsr
	movl $CR0_BITS, %eax
	movl %eax, %cr0
	ljmp $SEL_KERNEL_CODE, $PA(boot_long)

	.code64
boot_long:
	movabsq $boot_high, %rax
	jmp *%rax
boot_high:
	movl $SEL_KERNEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movq $boot_stack_top, %rsp
	xorl %ebp, %ebp
	movl %esi, %edi
	call arch_boot
	ud2

/* ---- other CPUs: copied to TRAMPOLINE_PA, entered in real mode ---- */
#define TRAMP(symbol) ((symbol) - trampoline_start + TRAMPOLINE_PA)
	.balign 16
	.code16
	.globl trampoline_start, trampoline_end, trampoline_stack, trampoline_id
trampoline_start:
	cli
	cld
	xorw %ax, %ax
	movw %ax, %ds
	lgdtl TRAMP(trampoline_gdt_pointer)
	movl $1, %eax
	movl %eax, %cr0
	ljmpl $0x18, $TRAMP(trampoline_32)
	.code32
trampoline_32:
	movl $SEL_KERNEL_DATA, %eax
	movl %eax, %ds
	movl $CR4_BITS, %eax
	movl %eax, %cr4
	movl $PA(boot_pml4), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $EFER_BITS, %eax
	wrmsr
	movl $CR0_BITS, %eax
	movl %eax, %cr0
	ljmp $SEL_KERNEL_CODE, $TRAMP(trampoline_64)
	.code64
trampoline_64:
	movl $SEL_KERNEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movq TRAMP(trampoline_stack), %rsp
	movl TRAMP(trampoline_id), %edi
	xorl %ebp, %ebp
	movabsq $smp_secondary, %rax
	call *%rax
	ud2
	.balign 8
trampoline_gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 64-bit code */
	.quad 0x00cf93000000ffff /* data */
	.quad 0x00cf9b000000ffff /* 32-bit code */
trampoline_gdt_pointer:
	.word 31
	.long TRAMP(trampoline_gdt)
	.balign 8
trampoline_stack:
	.quad 0
trampoline_id:
	.quad 0
trampoline_end:

	.section .rodata
	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
boot_gdt_pointer:
	.word 23
	.long PA(boot_gdt)

	.section .bss
	.balign 4096
	.globl boot_pml4
boot_pml4:
	.skip 4096
boot_pdpt_low:
	.skip 4096
boot_pdpt_high:
	.skip 4096
boot_pd:
	.skip 4 * 4096
boot_stack:
	.skip 16384
	.globl boot_stack_top
boot_stack_top:
	.section .note.GNU-stack, "", %progbits
