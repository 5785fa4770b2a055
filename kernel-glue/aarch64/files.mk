# Sources and flags of the AArch64 kernel; common ones are in kernel-glue/files.mk,
# to be included first. The linked ELF becomes a flat image, which is what QEMU hands
# the device tree to:
#   $(AARCH64_CC) $(AARCH64_LDFLAGS) -o build/aarch64/kernel.elf OBJECTS
#   $(AARCH64_OBJCOPY) -O binary build/aarch64/kernel.elf build/aarch64/kernel
# User programs are compiled by AARCH64_CC with USER_CFLAGS and AARCH64_USER_CFLAGS.
# Run: qemu-system-aarch64 -M virt -cpu cortex-a72 -nographic -semihosting \
#	-kernel build/aarch64/kernel -append "run=stress"
AARCH64_CC = aarch64-linux-gnu-gcc
AARCH64_OBJCOPY = aarch64-linux-gnu-objcopy
AARCH64_SRC = $(addprefix kernel-glue/aarch64/, boot.S trap.S arch.c fdt.c irq.c mmu.c smp.c)
AARCH64_CFLAGS = $(GLUE_CFLAGS) -mno-outline-atomics -mstrict-align -Ikernel-glue/aarch64 \
	$(GLUE_INCLUDE)
AARCH64_USER_CFLAGS = -mno-outline-atomics
AARCH64_LDFLAGS = -nostdlib -static -no-pie -Wl,-T,kernel-glue/aarch64/link.ld \
	-Wl,-z,max-page-size=4096 -Wl,--build-id=none -Wl,--no-warn-rwx-segments
