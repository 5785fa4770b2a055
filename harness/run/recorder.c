/* The recorder: between the scheduler and whoever chooses.
 *
 * What it keeps is what the scheduler itself would: choices against the default.
 */
#include "run/recorder.h"

static void recorder_begin(struct sched_strategy *self, unsigned cpus_n)
{
	struct recorder *rec = (struct recorder *)(void *)self;

	rec->inner->begin(rec->inner, cpus_n);
}

/* Switches are told by the scheduler itself. */
static void tell_choice(const struct recorder *rec, const struct sched *s,
			const struct sched_key *key, uint16_t value)
{
	static const char *const what[SCHED_KIND_N] = {
		[SCHED_DEFER] = "defer", [SCHED_STALE] = "stale", [SCHED_WALK] = "walk",
	};
	struct sched_event e = { .step = s->steps, .key = *key, .value = value };

	e.what = key->kind < SCHED_KIND_N ? what[key->kind] : NULL;
	if (e.what && rec->o->on_step)
		rec->o->on_step(rec->o->ctx, &e);
}

static unsigned recorder_choose(struct sched_strategy *self, const struct sched *s,
				const struct sched_key *key, enum sched_why why,
				const uint16_t *option, unsigned n)
{
	struct recorder *rec = (struct recorder *)(void *)self;
	struct player_result *r = rec->r;
	unsigned i = rec->inner->choose(rec->inner, s, key, why, option, n);

	if (i == 0 || i >= n)
		return 0;
	if (r->choices_n < SCHED_CHOICES_MAX)
		r->choice[r->choices_n++] = (struct sched_choice){ *key, option[i] };
	else
		r->choices_lost = true;
	tell_choice(rec, s, key, option[i]);
	return i;
}

struct sched_strategy *recorder_init(struct recorder *rec, const struct player_options *o,
				     struct player_result *r, struct sched_strategy *inner)
{
	*rec = (struct recorder){ .strategy = { recorder_begin, recorder_choose },
				  .inner = inner, .o = o, .r = r };
	r->choices_n = 0;
	r->choices_lost = false;
	return &rec->strategy;
}
