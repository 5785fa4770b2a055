/// What every unit shares of an instance: boot memory, failure injection, and
/// the end of a broken contract.
#include "base/instance.h"

void *meta_take(struct kmm *k, struct meta *m, uint64_t bytes, uint64_t align)
{
	char *at = (char *)bits_align_up((uintptr_t)m->at, align);

	KMM_REQUIRE(k, at <= m->end && bytes <= (uint64_t)(m->end - at),
		    "kmm_meta_bytes counted every piece");
	m->at = at + bytes;
	return at;
}

_Noreturn void assert_failed(struct kmm *k, const char *function, const char *expression,
			     const char *note)
{
	char why[2 * KMM_LOG_LINE_BYTES];

	kmm_format(why, sizeof(why), "%s: %s (%s)", function, expression, note);
	kmm_port_panic(k, why);
}

#if KMM_CONFIG_FAIL

bool fail_count_down(struct kmm *k, enum kmm_fail_class c);

/// Counts one attempt of an armed class. A CPU that loses the race for the last
/// count sees it disarmed.
bool fail_count_down(struct kmm *k, enum kmm_fail_class c)
{
	uint32_t left = atomic_load_relaxed(&k->fail.left[c]);

	while (left != 0) {
		if (!atomic_cas_acq_rel(&k->fail.left[c], &left, left - 1u))
			continue;
		if (left != 1u)
			return false;
		atomic_store_relaxed(&k->fail.fired, 1u);
		return true;
	}
	return false;
}

enum kmm_error kmm_fail_arm(struct kmm *k, enum kmm_fail_class c, uint32_t nth)
{
	if ((unsigned)c >= KMM_FAIL_CLASS_N || nth == 0)
		return KMM_EINVAL;
	atomic_store_relaxed(&k->fail.fired, 0u);
	atomic_store_relaxed(&k->fail.left[c], nth);
	return KMM_OK;
}

bool kmm_fail_disarm(struct kmm *k)
{
	for (unsigned c = 0; c < KMM_FAIL_CLASS_N; c++)
		atomic_store_relaxed(&k->fail.left[c], 0u);
	return atomic_exchange_acq_rel(&k->fail.fired, 0u) != 0;
}

#else

enum kmm_error kmm_fail_arm(struct kmm *k, enum kmm_fail_class c, uint32_t nth)
{
	(void)k;
	(void)c;
	(void)nth;
	return KMM_EUNSUPPORTED;
}

bool kmm_fail_disarm(struct kmm *k)
{
	(void)k;
	return false;
}

#endif
