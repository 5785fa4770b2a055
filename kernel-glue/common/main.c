/// From the architecture's entry to the end marker:
///
///   glue_main   memory map -> metadata -> kmm_init -> CPUs -> main thread -> idle
///   main_thread run= -> all processes gone -> @check -> @leak -> @end
///   cpu_main    a secondary CPU: its block, then idle
#include "process.h"

#define TICK_HZ 100u
#define ONLINE_WAIT_SECONDS 5u

struct kmm *glue_kmm;
const struct boot_info *glue_boot;
uint64_t glue_online;

static char stacks[GLUE_CPUS_MAX - 1][STACK_BYTES] __attribute__((aligned(16)));
static char main_stack[STACK_BYTES] __attribute__((aligned(16)));
static struct thread main_thread_block;
static char run[16];

static void cpus_up(struct boot_info *b)
{
	for (unsigned i = 1; i < b->cpus_n; i++) {
		uint64_t until;

		if (!arch_cpu_start(i, stacks[i - 1] + STACK_BYTES))
			glue_panic("CPU %u did not start", i);
		until = arch_cycles() + ONLINE_WAIT_SECONDS * b->timer_hz;
		while (!(__atomic_load_n(&glue_online, __ATOMIC_ACQUIRE) >> i & 1)) {
			if (arch_cycles() > until)
				glue_panic("CPU %u did not come online", i);
			arch_relax();
		}
	}
}

static void cpu_online(void)
{
	__atomic_fetch_or(&glue_online, 1ull << arch_cpu_id(), __ATOMIC_RELEASE);
	if (!text_equal(run, "bench"))
		arch_timer_start(TICK_HZ);
}

static int run_word(void)
{
	if (text_equal(run, "trace"))
		return trace_run();
	if (text_equal(run, "user"))
		return user_run();
	if (text_equal(run, "bench"))
		return bench_run();
	if (text_equal(run, "stress"))
		return stress_run();
	if (text_equal(run, "panic"))
		glue_panic("asked for by run=panic");
	while (text_equal(run, "hang"))
		arch_relax();
	glue_print("@verdict boot failed run=%s is no word of kernel-glue/README.md\n", run);
	return 1;
}

/// kmm's own walk, then the count of what nobody gave back.
/// The locks that a CPU ever waited for.
static void print_lock_waits(void)
{
	struct kmm_lock_stats s;

	for (unsigned i = 0; kmm_lock_stats(glue_kmm, i, ~(kmm_cpumask)0, &s) == KMM_OK; i++)
		if (s.contended_n)
			glue_print("@lock %s contended=%llu rounds=%llu\n", s.name,
				   (unsigned long long)s.contended_n,
				   (unsigned long long)s.waited_n);
}

static int tear_down(void)
{
	enum kmm_error e = kmm_check(glue_kmm);
	uint64_t leaked;

	print_lock_waits();
	record_print();
	if (e != KMM_OK)
		glue_print("@check failed %s\n", kmm_error_text(e));
	else
		glue_print("@check ok\n");
	leaked = kmm_teardown(glue_kmm);
	glue_print("@leak %llu\n", (unsigned long long)leaked);
	return e != KMM_OK || leaked != 0;
}

static void main_thread(void *arg)
{
	int status = run_word();

	(void)arg;
	while (process_count() != 0) {
		arch_relax();
		sched_yield();
	}
	if (tear_down() && status == 0)
		status = 1;
	glue_end(status);
}

_Noreturn void glue_main(struct boot_info *b)
{
	struct kmm_frame_stats s;

	glue_boot = b;
	sched_init_cpu(__builtin_frame_address(0));
	command_word("run", run, sizeof(run));
	if (command_number("cpus", b->cpus_n) < b->cpus_n)
		b->cpus_n = (unsigned)command_number("cpus", b->cpus_n);
	if (b->cpus_n == 0)
		b->cpus_n = 1;
	record_start();
	memory_up(b);
	cpu_online();
	cpus_up(b);
	kmm_frame_stats(glue_kmm, &s);
	glue_print("@boot " GLUE_ARCH_NAME " cpus=%u frames=%llu preset=%s\n", b->cpus_n,
		   (unsigned long long)s.managed_n, memory_preset_text());
	main_thread_block.stack_top = main_stack + sizeof(main_stack);
	thread_start(&main_thread_block, 0, main_thread, NULL);
	sched_idle();
}

_Noreturn void cpu_main(unsigned id)
{
	arch_set_cpu(id, kmm_cpu_at(glue_kmm, id));
	sched_init_cpu(stacks[id - 1] + STACK_BYTES);
	cpu_online();
	sched_idle();
}
