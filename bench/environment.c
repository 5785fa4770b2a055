/// The environment is read from the running system by its own tools; nothing is
/// cached, since a tool may have been upgraded between two nights.
#include "environment.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef BENCH_FLAGS
#error "the build says which flags the measured code was compiled with"
#endif

/// First line a command prints; "none" if it prints nothing.
static void first_line(const char *command, char *out, size_t bytes)
{
	FILE *f = popen(command, "r");

	if (!f || !fgets(out, (int)bytes, f))
		snprintf(out, bytes, "none");
	out[strcspn(out, "\n")] = '\0';
	if (f)
		pclose(f);
}

void environment_read(struct environment *e)
{
	struct utsname u;
	char status[8];

	memset(e, 0, sizeof(*e));
	first_line("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo", e->cpu, sizeof(e->cpu));
	e->cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
	e->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	if (uname(&u) == 0)
		snprintf(e->kernel, sizeof(e->kernel), "%.32s %.64s", u.sysname, u.release);
	snprintf(e->compiler, sizeof(e->compiler), "%s", "gcc " __VERSION__);
	snprintf(e->flags, sizeof(e->flags), "%s", BENCH_FLAGS);
	first_line("qemu-system-x86_64 --version 2>/dev/null", e->qemu, sizeof(e->qemu));
	first_line("valgrind --version 2>/dev/null", e->valgrind, sizeof(e->valgrind));
	first_line("git rev-parse HEAD 2>/dev/null", e->revision, sizeof(e->revision));
	first_line("git status --porcelain --untracked-files=no 2>/dev/null", status,
		   sizeof(status));
	e->dirty = strcmp(status, "none") != 0;
}
