/// The port's half that needs no inlining, the same on both architectures.
#include "glue.h"
#include "port/port.h"

/// The first that kmm_init does with a CPU: frames don't exist yet.
void kmm_port_cpu_bind(struct kmm *k, struct kmm_cpu *cpu)
{
	if (!glue_kmm)
		kmm_frame_stats(k, &glue_first_stats);
	arch_set_cpu(arch_cpu_id(), cpu);
}

void kmm_port_ipi(struct kmm *k, kmm_cpumask cpus)
{
	(void)k;
	arch_ipi(cpus);
}

kmm_cpumask kmm_port_online(struct kmm *k)
{
	(void)k;
	return __atomic_load_n(&glue_online, __ATOMIC_ACQUIRE);
}

/// xorshift64, one state a CPU; not secret.
uint64_t kmm_port_random(struct kmm *k)
{
	static uint64_t state[GLUE_CPUS_MAX];
	unsigned cpu = arch_cpu_id();
	uint64_t s = state[cpu] ? state[cpu] : 0x9e3779b97f4a7c15ull + cpu;

	(void)k;
	s ^= s << 13;
	s ^= s >> 7;
	s ^= s << 17;
	return state[cpu] = s;
}

void kmm_port_log(struct kmm *k, int level, const char *line)
{
	(void)k;
	if (level <= KMM_LOG_INFO)
		glue_print("kmm: %s\n", line);
}

void kmm_port_copy(void *to, const void *from, size_t bytes)
{
	__builtin_memcpy(to, from, bytes);
}

void kmm_port_fill(void *to, unsigned char byte, size_t bytes)
{
	__builtin_memset(to, byte, bytes);
}

void kmm_port_zero_page(void *page)
{
	arch_zero_page(page);
}

void kmm_port_copy_page(void *to, const void *from)
{
	arch_copy_page(to, from);
}
