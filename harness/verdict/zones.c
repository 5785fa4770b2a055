/// Zones: each kind gives its own frames and no others when it alone is asked, falls back
/// to lower kinds otherwise, and device memory comes only on request. A kind of which the
/// board has no memory is empty and refuses.
#include "verdict/program.h"

/// Numbers and spans. Fills managed[] by kind.
static void shape(struct verdict *v, uint64_t managed[KMM_ZONE_KINDS_N])
{
	struct kmm_zone_info z, last = { .end = { 0 } };
	uint64_t sum = 0;
	struct kmm_frame_stats s;

	for (unsigned i = 0; i < kmm_zones_n(v->k); i++, last = z) {
		if (!VERDICT_EXPECT(v, kmm_zone_info(v->k, i, &z) == KMM_OK,
				    "zone %u isn't told", i))
			return;
		VERDICT_EXPECT(v, z.base.n < z.end.n && z.base.n >= last.end.n,
			       "zone %u overlaps the one before", i);
		VERDICT_EXPECT(v, z.managed_n <= z.end.n - z.base.n && z.free_n <= z.managed_n,
			       "zone %u has more frames than its span", i);
		managed[z.kind] += z.managed_n;
		sum += z.managed_n;
	}
	kmm_frame_stats(v->k, &s);
	VERDICT_EXPECT(v, sum == s.managed_n, "zones manage %llu frames, all together %llu",
		       (unsigned long long)sum, (unsigned long long)s.managed_n);
	VERDICT_EXPECT(v, kmm_zone_info(v->k, kmm_zones_n(v->k), &z) == KMM_EINVAL,
		       "a zone beyond the last is told");
}

/// One frame of exactly this kind, or none where there is no memory of it.
static void only(struct verdict *v, enum kmm_zone_kind kind, bool is_there)
{
	struct kmm_pfn pfn;
	struct kmm_zone_info z = { .kind = KMM_ZONE_KINDS_N };
	enum kmm_error e = kmm_frame_alloc(v->k, 0, KMM_FRAME_ZONE(kind) | KMM_FRAME_ONLY, &pfn);

	VERDICT_EXPECT(v, e == (is_there ? KMM_OK : KMM_ENOMEM), "%s alone: %s",
		       kmm_zone_kind_name(kind), kmm_error_name(e));
	if (e != KMM_OK)
		return;
	verdict_zone_of(v, pfn, &z);
	VERDICT_EXPECT(v, z.kind == kind, "%s alone gave a frame of %s", kmm_zone_kind_name(kind),
		       kmm_zone_kind_name(z.kind));
	verdict_free(v, pfn, 0);
}

/// With all frames of a kind taken, asking for it alone fails, and asking for it first
/// gives a frame of a lower kind. Returns: whether there was a lower kind
static bool fallback(struct verdict *v, enum kmm_zone_kind kind, bool has_lower)
{
	struct chain all = { 0 };
	struct kmm_pfn pfn;
	struct kmm_zone_info z = { .kind = KMM_ZONE_KINDS_N };
	enum kmm_error e;

	chain_take_all(v, &all, 9, KMM_FRAME_ZONE(kind) | KMM_FRAME_ONLY, NULL);
	e = kmm_frame_alloc(v->k, 0, KMM_FRAME_ZONE(kind) | KMM_FRAME_ONLY, &pfn);
	VERDICT_EXPECT(v, e == KMM_ENOMEM, "%s alone, all taken: %s", kmm_zone_kind_name(kind),
		       kmm_error_name(e));
	e = kmm_frame_alloc(v->k, 0, KMM_FRAME_ZONE(kind), &pfn);
	VERDICT_EXPECT(v, e == (has_lower ? KMM_OK : KMM_ENOMEM), "%s first, all taken: %s",
		       kmm_zone_kind_name(kind), kmm_error_name(e));
	if (e == KMM_OK) {
		verdict_zone_of(v, pfn, &z);
		VERDICT_EXPECT(v, z.kind < kind, "%s first, all taken: a frame of %s",
			       kmm_zone_kind_name(kind), kmm_zone_kind_name(z.kind));
		verdict_free(v, pfn, 0);
	}
	chain_give_back(v, &all);
	return has_lower;
}

void verdict_zones(struct verdict *v)
{
	uint64_t managed[KMM_ZONE_KINDS_N] = { 0 };
	char text[sizeof(v->text)] = "";
	size_t used = 0;
	unsigned fallbacks_n = 0;
	bool lower = false;

	shape(v, managed);
	for (unsigned kind = 0; kind < KMM_ZONE_KINDS_N; kind++) {
		only(v, (enum kmm_zone_kind)kind, managed[kind] != 0);
		if (managed[kind] != 0 && kind != KMM_ZONE_DEVICE)
			fallbacks_n += fallback(v, (enum kmm_zone_kind)kind, lower);
		lower |= managed[kind] != 0;
		if (managed[kind] != 0)
			used += kmm_format(text + used, sizeof(text) - used, "%s %llu, ",
					   kmm_zone_kind_name((enum kmm_zone_kind)kind),
					   (unsigned long long)managed[kind]);
		else
			used += kmm_format(text + used, sizeof(text) - used, "%s empty, ",
					   kmm_zone_kind_name((enum kmm_zone_kind)kind));
	}
	VERDICT_SAY(v, "%u zones; frames: %s%u kinds fell back", kmm_zones_n(v->k), text,
		    fallbacks_n);
}
