/* One load and one store that may be refused: the kernel then continues at
 * access_landing, whose stack is still the function's. Return 0, or 1. */
	.text
	.globl access_load, access_store, access_start, access_end, access_landing
access_start:
access_load:
	movq (%rdi), %rax
	xorl %eax, %eax
	ret
access_store:
	movq %rsi, (%rdi)
	xorl %eax, %eax
	ret
access_end:
access_landing:
	movl $1, %eax
	ret
	.section .note.GNU-stack, "", %progbits
