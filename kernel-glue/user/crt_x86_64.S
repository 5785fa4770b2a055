/* The stack at entry: argc, argv[], NULL, ... */
	.text
	.globl _start
_start:
	xorl %ebp, %ebp
	movq (%rsp), %rdi
	leaq 8(%rsp), %rsi
	andq $-16, %rsp
	call main
	movl %eax, %edi
	movl $231, %eax
	syscall
	ud2
	.section .note.GNU-stack, "", %progbits
