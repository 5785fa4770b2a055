/// A guest: our kernel under QEMU, handed a binary trace or a user program, and
/// read over its serial line. The protocol is in harness/README.md.
#ifndef GUEST_H
#define GUEST_H

#include "ops/ops.h"

#define GUEST_NODES_MAX 4u
#define GUEST_MEMORY_MIB 256u /* unless told */

struct guest_options {
	const char *arch;      /* "x86_64", "aarch64" */
	const char *kernel;    /* image; NULL: build/<arch>/kernel */
	const char *command;   /* kernel command line, e.g. "run=trace preset=pagemill" */
	const char *initrd;    /* file handed over, or NULL */
	unsigned cpus_n;       /* 0: 2 */
	unsigned memory_mib;   /* 0: GUEST_MEMORY_MIB */
	unsigned nodes_n;      /* memory and CPUs shared out evenly; 0: the machine has none */
	unsigned timeout_s;    /* 0: 60 */
	bool icount;           /* counted instructions */
	const char *qemu_cpu;  /* NULL: the default of anchors (max,-erms / cortex-a72) */
	const char *log_path;  /* serial output is kept here, or NULL */
};

/// One line of the protocol, split: "@verb rest…". Others are the guest's log.
/// Returning false stops the guest.
typedef bool (*guest_line)(void *ctx, const char *verb, const char *rest);

enum guest_end {
	GUEST_DONE,       /* end marker seen, status 0 */
	GUEST_FAILED,     /* end marker with a failing status */
	GUEST_PANIC,      /* "@panic" seen */
	GUEST_HANG,       /* timeout */
	GUEST_NO_MARKER,  /* it ended without its marker */
	GUEST_NO_QEMU,    /* QEMU isn't installed or didn't start */
	GUEST_NO_KERNEL,  /* the image isn't there */
};

/// Boots, feeds every protocol line to fn, waits for the end. `why` gets one line
/// for every end but GUEST_DONE.
enum guest_end guest_run(const struct guest_options *o, guest_line fn, void *ctx, char *why,
			 size_t why_bytes);

/// Where the architecture's memory begins, in MiB.
unsigned guest_memory_base_mib(const char *arch);

#endif
