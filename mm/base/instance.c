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

/// Counts one attempt of a class that this CPU may have armed.
bool fail_count_down(struct kmm *k, enum kmm_fail_class c)
{
	unsigned long was = kmm_port_irq_save(k);
	struct fail_cpu *f = &kmm_port_cpu(k)->fail;
	bool now = f->left[c] == 1u;

	if (f->left[c] != 0)
		f->left[c]--;
	f->fired |= now;
	kmm_port_irq_restore(k, was);
	return now;
}

enum kmm_error kmm_fail_arm(struct kmm *k, enum kmm_fail_class c, uint32_t nth)
{
	unsigned long was;
	struct fail_cpu *f;

	if ((unsigned)c >= KMM_FAIL_CLASS_N || nth == 0)
		return KMM_EINVAL;
	was = kmm_port_irq_save(k);
	f = &kmm_port_cpu(k)->fail;
	if (!f->armed)
		(void)atomic_add_relaxed(&k->fail_armed_n, 1u);
	f->armed = true;
	f->fired = false;
	f->left[c] = nth;
	kmm_port_irq_restore(k, was);
	return KMM_OK;
}

bool kmm_fail_disarm(struct kmm *k)
{
	unsigned long was = kmm_port_irq_save(k);
	struct fail_cpu *f = &kmm_port_cpu(k)->fail;
	bool fired = f->fired;

	if (f->armed)
		(void)atomic_sub_acq_rel(&k->fail_armed_n, 1u);
	*f = (struct fail_cpu){ 0 };
	kmm_port_irq_restore(k, was);
	return fired;
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
