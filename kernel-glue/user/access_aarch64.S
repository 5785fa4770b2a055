/* One load and one store that may be refused: the kernel then continues at
 * access_landing, whose stack is still the function's. Return 0, or 1. */
	.text
	.globl access_load, access_store, access_start, access_end, access_landing
access_start:
access_load:
	ldr x1, [x0]
	mov w0, #0
	ret
access_store:
	str x1, [x0]
	mov w0, #0
	ret
access_end:
access_landing:
	mov w0, #1
	ret
	.section .note.GNU-stack, "", %progbits
