/// The out-of-line half of the example's port.
#include "port/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kmm_cpu *example_cpu;

void kmm_port_cpu_bind(struct kmm *k, struct kmm_cpu *cpu)
{
	(void)k;
	example_cpu = cpu;
}

void kmm_port_ipi(struct kmm *k, kmm_cpumask cpus)
{
	(void)k;
	(void)cpus;
}

kmm_cpumask kmm_port_online(struct kmm *k)
{
	(void)k;
	return 1;
}

uint64_t kmm_port_random(struct kmm *k)
{
	(void)k;
	return (uint64_t)random();
}

void kmm_port_log(struct kmm *k, int level, const char *line)
{
	(void)k;
	(void)level;
	puts(line);
}

_Noreturn void kmm_port_panic(struct kmm *k, const char *why)
{
	(void)k;
	fprintf(stderr, "panic: %s\n", why);
	abort();
}

unsigned kmm_port_backtrace(struct kmm *k, void **out, unsigned n)
{
	(void)k;
	(void)out;
	(void)n;
	return 0;
}

void kmm_port_copy(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}

void kmm_port_fill(void *to, unsigned char byte, size_t bytes)
{
	memset(to, byte, bytes);
}

void kmm_port_zero_page(void *page)
{
	memset(page, 0, KMM_PAGE_BYTES);
}

void kmm_port_copy_page(void *to, const void *from)
{
	memcpy(to, from, KMM_PAGE_BYTES);
}
