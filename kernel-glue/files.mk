# Sources and flags of the kernels, for the Makefile. An architecture's own files
# (X86_64_*; aarch64/files.mk gives AARCH64_*) join COMMON_SRC, all of mm/ and what is
# shared with the host: GLUE_OPS_SRC, in user programs too, and GLUE_MACHINE_SRC. A kernel
# carries build/<arch>/user/player: build that first and pass -Wa,-Ibuild/<arch> when
# assembling blob.S.
GLUE_CFLAGS = -std=gnu11 -ffreestanding -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Werror -mgeneral-regs-only -fno-pic -fno-pie \
	-fno-stack-protector -fno-asynchronous-unwind-tables \
	-fno-tree-loop-distribute-patterns -DKMM_CONFIG_FAIL=0 -DKMM_CONFIG_ASSERT=0
GLUE_INCLUDE = -Imm -Imm/include -Iharness -Ikernel-glue -Ikernel-glue/common

COMMON_SRC = $(addprefix kernel-glue/common/, bench.c blob.S command.c console.c crew.c elf.c \
	fault.c \
	main.c mem.c memory.c panic.c port.c process.c sched.c stress.c syscall.c syscall_mem.c trace.c \
	record.c trace_frame.c trace_user.c user.c verdicts.c)
GLUE_OPS_SRC = $(addprefix harness/ops/, ops.c names.c digest.c)
GLUE_MACHINE_SRC = $(addprefix harness/machine/, kernel_ops.c blocks.c spots.c)

X86_64_SRC = $(addprefix kernel-glue/x86_64/, boot.S trap.S arch.c cpu.c firmware.c irq.c \
	mmu.c smp.c)
X86_64_CC = gcc
X86_64_CFLAGS = $(GLUE_CFLAGS) -mno-red-zone -mcmodel=kernel -Ikernel-glue/x86_64 $(GLUE_INCLUDE)
X86_64_LDFLAGS = -nostdlib -static -no-pie -Wl,-T,kernel-glue/x86_64/link.ld \
	-Wl,-z,max-page-size=4096 -Wl,--build-id=none -Wl,--no-warn-rwx-segments

# Each program of USER_PROGRAMS is its own .c, lib.c, crt_<arch>.S, and what
# USER_EXTRA_<program> names ($(1) is the architecture).
USER_PROGRAMS = forkstorm bigalloc mapcycle bench player
USER_SRC = kernel-glue/user/lib.c
USER_EXTRA_player = kernel-glue/user/access_$(1).S $(GLUE_OPS_SRC)
USER_CFLAGS = -std=gnu11 -ffreestanding -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Werror -mgeneral-regs-only -fno-pic -fno-pie \
	-fno-stack-protector -fno-asynchronous-unwind-tables \
	-fno-tree-loop-distribute-patterns -Ikernel-glue/user -Iharness
USER_LDFLAGS = -nostdlib -static -no-pie -Wl,-z,max-page-size=4096 -Wl,--build-id=none
