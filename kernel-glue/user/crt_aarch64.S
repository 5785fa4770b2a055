/* The stack at entry: argc, argv[], NULL, ... */
	.text
	.globl _start
_start:
	mov x29, #0
	mov x30, #0
	ldr x0, [sp]
	add x1, sp, #8
	bl main
	mov x8, #94
	svc #0
	brk #0
	.section .note.GNU-stack, "", %progbits
