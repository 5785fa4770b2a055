/// The preset and policy in use are those asked for; and each allocation made to fail in
/// turn leaves everything as it was.
#include "verdict/program.h"

#define STEPS_MAX 64u /* more than a scenario has allocations */
#define RANGE_N 37u

static bool text_is(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/// Every preset with every policy has a name that is understood.
static unsigned names(struct verdict *v)
{
	unsigned n = 0;

	for (unsigned i = 0; kmm_preset_at(i) != NULL; i++) {
		const char *policy;

		for (unsigned id = 0; (policy = kmm_frame_policy_id_name(
					       (enum kmm_frame_policy_id)id)) != NULL; id++) {
			struct kmm_preset p;
			char text[64];

			kmm_format(text, sizeof(text), "%s+%s", kmm_preset_at(i)->name, policy);
			VERDICT_EXPECT(v, kmm_preset_parse(text, &p) && p.frame_policy == id,
				       "%s isn't understood", text);
			n++;
		}
	}
	return n;
}

void verdict_preset(struct verdict *v)
{
	struct kmm_preset p;
	struct kmm_zone_info z;
	const char *policy;
	unsigned n = names(v);

	VERDICT_EXPECT(v, !kmm_preset_parse("pagemill+nothing", &p) && !kmm_preset_parse("", &p),
		       "a preset that isn't one is understood");
	if (!VERDICT_EXPECT(v, kmm_preset_parse(v->body->preset, &p), "%s isn't understood",
			    v->body->preset))
		return;
	policy = kmm_frame_policy_id_name(p.frame_policy);
	VERDICT_EXPECT(v, text_is(kmm_frame_policy_name(v->k), policy), "the policy is %s, not %s",
		       kmm_frame_policy_name(v->k), policy);
	for (unsigned i = 0; kmm_zone_info(v->k, i, &z) == KMM_OK; i++)
		VERDICT_EXPECT(v, text_is(z.policy, policy), "zone %u has %s", i, z.policy);
	VERDICT_SAY(v, "%s by %s in %u zones, %u frames cached at most; %u names understood",
		    p.name, policy, kmm_zones_n(v->k), p.frame_cache_n, n);
}

/* ---- failures ---- */

/// What one scenario holds.
struct holding {
	struct kmm_pfn single, block, movable, range, batch[8];
	unsigned has_n, batch_n;
};

/// A few allocations of different kinds, until one fails.
static enum kmm_error acquire(struct kmm *k, struct holding *h)
{
	enum kmm_error e = kmm_frame_alloc(k, 0, 0, &h->single);

	if (e != KMM_OK)
		return e;
	h->has_n = 1;
	e = kmm_frame_alloc(k, 3, KMM_FRAME_ZERO, &h->block);
	if (e != KMM_OK)
		return e;
	h->has_n = 2;
	e = kmm_frame_alloc_on(k, 0, KMM_FRAME_MOVABLE, NULL, &h->movable);
	if (e != KMM_OK)
		return e;
	h->has_n = 3;
	e = kmm_frame_alloc_range(k, &(struct kmm_frame_request){ .n = RANGE_N }, &h->range);
	if (e != KMM_OK)
		return e;
	h->has_n = 4;
	h->batch_n = kmm_frame_alloc_batch(k, 0, 0, 8, h->batch);
	return h->batch_n == 8u ? KMM_OK : KMM_ENOMEM;
}

static void release(struct verdict *v, const struct holding *h)
{
	if (h->has_n > 0)
		verdict_free(v, h->single, 0);
	if (h->has_n > 1)
		verdict_free(v, h->block, 3);
	if (h->has_n > 2)
		verdict_free(v, h->movable, 0);
	if (h->has_n > 3)
		VERDICT_EXPECT(v, kmm_frame_free_range(v->k, h->range, RANGE_N) == KMM_OK,
			       "a range isn't freed");
	if (h->batch_n != 0)
		VERDICT_EXPECT(v,
			       kmm_frame_free_batch(v->k, 0, h->batch_n, h->batch, NULL) == KMM_OK,
			       "a batch isn't freed");
}

void verdict_fail_each(struct verdict *v)
{
	uint64_t before = verdict_free_n(v);
	unsigned nth = 1;

	for (; nth < STEPS_MAX; nth++) {
		struct holding h = { .has_n = 0 };
		enum kmm_error e = kmm_fail_arm(v->k, KMM_FAIL_FRAME, nth);
		bool fired;

		if (e == KMM_EUNSUPPORTED) {
			VERDICT_SAY(v, "not in this build: failures aren't injected");
			return;
		}
		e = acquire(v->k, &h);
		fired = kmm_fail_disarm(v->k);
		release(v, &h);
		VERDICT_EXPECT(v, e == (fired ? KMM_ENOMEM : KMM_OK), "failure %u: %s", nth,
			       kmm_error_name(e));
		VERDICT_EXPECT(v, verdict_free_n(v) == before, "failure %u lost frames", nth);
		VERDICT_EXPECT(v, kmm_frame_check(v->k) == KMM_OK, "damage after failure %u", nth);
		if (!fired)
			break;
	}
	VERDICT_EXPECT(v, nth > 4u && nth < STEPS_MAX, "%u allocations were seen", nth - 1u);
	VERDICT_SAY(v, "each of %u allocations failed once", nth - 1u);
}
