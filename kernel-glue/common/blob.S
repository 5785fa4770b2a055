/* The trace player's program, carried inside the kernel image. */
	.section .rodata
	.balign 16
	.globl player_elf, player_elf_end
player_elf:
	.incbin "user/player"
player_elf_end:
	.section .note.GNU-stack, "", %progbits
