/// The verdict programs of harness/verdict in a kernel.
#include "verdict/verdict.h"

#include "crew.h"

static void line(const char *text)
{
	glue_print("%s\n", text);
}

static void on_cpus(struct verdict_body *b, void (*work)(void *ctx, unsigned cpu), void *ctx)
{
	(void)b;
	crew_run(work, ctx);
}

/// Statistics asked for while kmm_init ran, before there were frames.
static int first_stats(void)
{
	const struct kmm_frame_stats *s = &glue_first_stats;
	bool ok = s->managed_n == 0 && s->free_n == 0 && s->alloc_n == 0;

	if (ok)
		glue_print("@verdict start.stats ok all zero before frames exist\n");
	else
		glue_print("@verdict start.stats failed %llu frames managed, %llu free\n",
			   (unsigned long long)s->managed_n, (unsigned long long)s->free_n);
	return ok ? 0 : 1;
}

int verdicts_run(void)
{
	struct verdict_body b = { .k = glue_kmm, .cpus_n = glue_boot->cpus_n,
				  .preset = memory_preset_text(), .memmap = &glue_boot->memmap,
				  .topology = memory_topology(), .line = line, .on_cpus = on_cpus };
	int status = first_stats();

	return verdict_run_all(&b) ? 1 : status;
}
