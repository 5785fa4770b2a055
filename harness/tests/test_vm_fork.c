/// Fork: contents stay apart through chains of spaces, frames are shared until
/// written, and a fork that fails leaves its parent alone.
#include "vm_fixture.h"

static struct kmm_vm_stats stats(struct fixture *f)
{
	struct kmm_vm_stats s;

	kmm_vm_stats(f->k, &s);
	return s;
}

static struct kmm_space *fork_of(struct kmm_space *s)
{
	struct kmm_space *child = NULL;

	assert_int_equal(kmm_space_fork(s, &child), KMM_OK);
	return child;
}

static void vm_fork_child_sees_parents_contents(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		struct fixture f;
		struct kmm_space *child;
		struct kmm_va now;

		fixture_start(&f, kmm_preset_find("pagemill"), kmm_pt_format_at(i), 1);
		assert_int_equal(kmm_space_brk_init(f.s, va_at(2 * BASE)), KMM_OK);
		assert_int_equal(kmm_space_brk(f.s, va_at(2 * BASE + 9), &now), KMM_OK);
		assert_int_equal(map_at(f.s, BASE, 3, RW), KMM_OK);
		assert_true(poke(f.s, BASE, 1));
		assert_true(poke(f.s, 2 * BASE, 2));
		assert_holds(f.s, BASE + PAGE, 0);
		child = fork_of(f.s);
		assert_int_equal(kmm_check(f.k), KMM_OK);
		assert_holds(child, BASE, 1);
		assert_holds(child, 2 * BASE, 2);
		assert_holds(child, BASE + PAGE, 0);
		assert_holds(child, BASE + 2 * PAGE, 0);
		assert_int_equal(kmm_space_brk(child, va_at(0), &now), KMM_OK);
		assert_int_equal(now.a, 2 * BASE + 9);
		assert_int_equal(stats(&f).spaces_n, 2);
		assert_int_equal(stats(&f).forks_n, 1);
		fixture_stop(&f);
	}
}

static void vm_fork_writes_stay_apart(void **state)
{
	struct fixture f;
	struct kmm_space *child;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 3, RW), KMM_OK);
	for (unsigned i = 0; i < 2; i++)
		assert_true(poke(f.s, BASE + i * PAGE, 10 + i));
	child = fork_of(f.s);
	assert_true(poke(f.s, BASE, 20));
	assert_true(poke(child, BASE + PAGE, 31));
	assert_true(poke(child, BASE + 2 * PAGE, 32));
	assert_holds(f.s, BASE, 20);
	assert_holds(f.s, BASE + PAGE, 11);
	assert_holds(f.s, BASE + 2 * PAGE, 0);
	assert_holds(child, BASE, 10);
	assert_holds(child, BASE + PAGE, 31);
	assert_holds(child, BASE + 2 * PAGE, 32);
	assert_int_equal(stats(&f).cow_copies_n, 2);
	assert_true(poke(child, BASE, 40)); /* the last owner writes in place */
	assert_int_equal(stats(&f).cow_copies_n, 2);
	assert_int_equal(stats(&f).cow_reuses_n, 1);
	fixture_stop(&f);
}

static void vm_fork_regions_change_apart(void **state)
{
	struct fixture f;
	struct kmm_space *child;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 4, RW), KMM_OK);
	for (unsigned i = 0; i < 4; i++)
		assert_true(poke(f.s, BASE + i * PAGE, i));
	child = fork_of(f.s);
	assert_int_equal(unmap_at(f.s, BASE, 1), KMM_OK);
	assert_int_equal(protect_at(child, BASE + PAGE, 1, KMM_PROT_NONE), KMM_OK);
	assert_int_equal(map_at(child, BASE + 2 * PAGE, 1, RW), KMM_OK);
	assert_refused(f.s, BASE);
	assert_holds(child, BASE, 0);
	assert_holds(f.s, BASE + PAGE, 1);
	assert_refused(child, BASE + PAGE);
	assert_holds(f.s, BASE + 2 * PAGE, 2);
	assert_holds(child, BASE + 2 * PAGE, 0);
	fixture_stop(&f);
}

static void vm_fork_protect_after_keeps_sharing(void **state)
{
	struct fixture f;
	struct kmm_space *child;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 2, RW), KMM_OK);
	assert_true(poke(f.s, BASE, 1));
	assert_true(poke(f.s, BASE + PAGE, 2));
	assert_int_equal(protect_at(f.s, BASE + PAGE, 1, KMM_PROT_NONE), KMM_OK);
	child = fork_of(f.s);
	assert_int_equal(protect_at(f.s, BASE, 2, KMM_PROT_R), KMM_OK);
	assert_int_equal(protect_at(f.s, BASE, 2, RW), KMM_OK);
	assert_int_equal(kmm_check(f.k), KMM_OK); /* no shared leaf became writable */
	assert_true(poke(f.s, BASE, 3));
	assert_true(poke(f.s, BASE + PAGE, 4));
	assert_holds(child, BASE, 1);
	assert_int_equal(protect_at(child, BASE, 2, RW), KMM_OK);
	assert_holds(child, BASE + PAGE, 2);
	fixture_stop(&f);
}

static void vm_fork_outlives_its_parent(void **state)
{
	struct fixture f;
	struct kmm_space *child, *grandchild;

	(void)state;
	fixture_start_plain(&f);
	kmm_space_activate(f.k, f.s);
	assert_int_equal(map_at(f.s, BASE, 8, RW), KMM_OK);
	for (unsigned i = 0; i < 8; i++)
		assert_true(poke(f.s, BASE + i * PAGE, i));
	child = fork_of(f.s);
	kmm_space_destroy(f.s); /* current here: this CPU leaves it */
	grandchild = fork_of(child);
	assert_true(poke(child, BASE, 100));
	kmm_space_destroy(child);
	for (unsigned i = 0; i < 8; i++)
		assert_holds(grandchild, BASE + i * PAGE, i);
	for (unsigned i = 0; i < 8; i++)
		assert_true(poke(grandchild, BASE + i * PAGE, i));
	assert_int_equal(stats(&f).spaces_n, 1);
	fixture_stop(&f);
}

static void vm_fork_chain_of_hundred_shares_frames(void **state)
{
	struct fixture f;
	struct kmm_space *chain[100];
	struct kmm_frame_stats before, after;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 64, RW), KMM_OK);
	for (unsigned i = 0; i < 64; i++)
		assert_true(poke(f.s, BASE + i * PAGE, i));
	kmm_frame_stats(f.k, &before);
	for (unsigned i = 0; i < 100; i++) {
		chain[i] = fork_of(i ? chain[i - 1] : f.s);
		assert_true(poke(chain[i], BASE, 1000 + i));
	}
	kmm_frame_stats(f.k, &after);
	assert_true(before.free_n - after.free_n < 100 * 8); /* tables, one page, slabs */
	for (unsigned i = 0; i < 100; i++) {
		assert_holds(chain[i], BASE, 1000 + i);
		assert_holds(chain[i], BASE + 63 * PAGE, 63);
	}
	assert_int_equal(kmm_check(f.k), KMM_OK);
	for (unsigned i = 0; i < 100; i += 2)
		kmm_space_destroy(chain[i]);
	assert_holds(chain[99], BASE + PAGE, 1);
	fixture_stop(&f);
}

/* A random family against plain arrays. */

#define SPACES 10u
#define PAGES 40u
#define FAMILY_BASE (BASE + 0x200000ull - PAGES / 2 * PAGE)

struct person {
	struct kmm_space *s; /* NULL: none */
	bool mapped[PAGES];
	uint64_t value[PAGES];
};

static void family_compare(struct person *p)
{
	for (unsigned i = 0; i < PAGES; i++) {
		if (p->mapped[i])
			assert_holds(p->s, FAMILY_BASE + i * PAGE, p->value[i]);
		else
			assert_refused(p->s, FAMILY_BASE + i * PAGE);
	}
}

static void family_change(struct person *p, unsigned page, unsigned pages, uint64_t value)
{
	bool maps = value % 3 != 0;
	uint64_t a = FAMILY_BASE + page * PAGE;

	if (pages > PAGES - page)
		pages = PAGES - page;
	assert_int_equal(maps ? map_at(p->s, a, pages, RW) : unmap_at(p->s, a, pages), KMM_OK);
	for (unsigned i = page; i < page + pages; i++) {
		p->mapped[i] = maps;
		p->value[i] = 0;
	}
}

static void family_step(struct fixture *f, struct person *all, uint64_t *seed)
{
	struct person *p = &all[next_random(seed) % SPACES];
	struct person *q = &all[next_random(seed) % SPACES];
	unsigned page = (unsigned)(next_random(seed) % PAGES);
	uint64_t kind = next_random(seed) % 16, value = next_random(seed);

	if (p->s == NULL)
		return;
	if (kind == 0 && p != all) {
		kmm_space_destroy(p->s);
		p->s = NULL;
	} else if (kind <= 2 && q->s == NULL) {
		*q = *p;
		q->s = fork_of(p->s);
	} else if (kind <= 3) {
		kmm_space_activate(f->k, p->s);
	} else if (kind <= 5) {
		family_change(p, page, 1 + (unsigned)(value % 6), value >> 8);
	} else {
		assert_int_equal(poke(p->s, FAMILY_BASE + page * PAGE, value), p->mapped[page]);
		if (p->mapped[page])
			p->value[page] = value;
	}
}

static void vm_fork_random_family_equals_arrays(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= 6; n++) {
		struct fixture f;
		struct person *all = calloc(SPACES, sizeof(*all));
		uint64_t seed = n * 0x9e3779b97f4a7c15ull;
		struct kmm_preset p = *kmm_preset_find("pagemill");

		assert_non_null(all);
		p.table_frees = n & 1u;
		fixture_start(&f, &p, kmm_pt_format_at(n / 2 % 2), 1);
		all[0].s = f.s;
		for (unsigned i = 0; i < 3000; i++) {
			family_step(&f, all, &seed);
			if (i % 100 == 0)
				assert_int_equal(kmm_check(f.k), KMM_OK);
		}
		for (unsigned i = 0; i < SPACES; i++) {
			if (all[i].s)
				family_compare(&all[i]);
		}
		free(all);
		fixture_stop(&f);
	}
}

/* Every allocation of a fork, and of the write after it, fails in turn. */

#define FAR (1ull << 31)

static struct kmm_space *sweep_child;

static bool op_fork(struct fixture *f)
{
	sweep_child = NULL;
	return kmm_space_fork(f->s, &sweep_child) == KMM_OK;
}

static void fork_same(struct fixture *f, bool succeeded)
{
	assert_int_equal(succeeded, sweep_child != NULL);
	assert_int_equal(stats(f).spaces_n, 1 + succeeded);
	for (unsigned i = 0; i < 6; i++) {
		assert_holds(f->s, BASE + i * FAR, i);
		if (succeeded)
			assert_holds(sweep_child, BASE + i * FAR, i);
	}
	if (!succeeded)
		assert_true(poke(f->s, BASE, 0));
}

static void fork_undo(struct fixture *f)
{
	kmm_space_destroy(sweep_child);
	for (unsigned i = 0; i < 6; i++)
		assert_true(poke(f->s, BASE + i * FAR, i));
}

static void vm_failed_fork_leaves_the_parent_alone(void **state)
{
	const struct sweep w = { op_fork, fork_same, fork_undo };

	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		struct fixture f;

		fixture_start(&f, kmm_preset_find("pagemill"), kmm_pt_format_at(i), 1);
		for (unsigned j = 0; j < 6; j++) {
			assert_int_equal(map_at(f.s, BASE + j * FAR, 2, RW), KMM_OK);
			assert_true(poke(f.s, BASE + j * FAR, j));
		}
		assert_true(sweep_run(&f, &w) >= 20); /* tables, regions, the space */
		fixture_stop(&f);
	}
}

static bool op_unshare(struct fixture *f)
{
	return poke(f->s, BASE, 8);
}

static void unshare_same(struct fixture *f, bool succeeded)
{
	assert_holds(f->s, BASE, succeeded ? 8 : 7);
	assert_holds(sweep_child, BASE, 7);
}

static void unshare_undo(struct fixture *f)
{
	kmm_space_destroy(sweep_child);
	assert_true(poke(f->s, BASE, 7));
	sweep_child = fork_of(f->s);
}

static void vm_failed_copy_leaves_the_page_shared(void **state)
{
	const struct sweep w = { op_unshare, unshare_same, unshare_undo };
	struct fixture f;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 1, RW), KMM_OK);
	assert_true(poke(f.s, BASE, 7));
	sweep_child = fork_of(f.s);
	assert_true(sweep_run(&f, &w) >= 1);
	fixture_stop(&f);
}

/* Two CPUs in one space: one writes, the other forks and looks. */

#define ROUNDS 400u

struct writer {
	struct fixture *f;
	uint32_t stop;
};

static void *write_upwards(void *arg)
{
	struct writer *w = arg;
	uint64_t value = 0;

	threads_enter(&w->f->m, 1);
	kmm_space_activate(w->f->k, w->f->s);
	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		value++;
		for (unsigned i = 0; i < 4; i++) {
			if (!poke(w->f->s, BASE + i * PAGE, value))
				abort();
		}
	}
	threads_leave(&w->f->m, 1);
	return NULL;
}

static void vm_fork_beside_a_writer_is_a_snapshot(void **state)
{
	struct fixture f;
	struct writer w = { &f, 0 };
	pthread_t thread;

	(void)state;
	fixture_start(&f, kmm_preset_find("pagemill"), NULL, 2);
	assert_int_equal(map_at(f.s, BASE, 4, RW), KMM_OK);
	assert_int_equal(pthread_create(&thread, NULL, write_upwards, &w), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct kmm_space *child = fork_of(f.s);
		uint64_t v[4], again;

		for (unsigned j = 0; j < 4; j++) {
			assert_true(peek(child, BASE + j * PAGE, &v[j]));
			assert_true(j == 0 || v[j] == v[j - 1] || v[j] + 1 == v[j - 1]);
		}
		for (unsigned j = 0; j < 4; j++) {
			assert_true(peek(child, BASE + j * PAGE, &again));
			assert_int_equal(again, v[j]);
		}
		assert_int_equal(kmm_space_check(child), KMM_OK);
		kmm_space_destroy(child);
	}
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	fixture_stop(&f); /* the space is still loaded on CPU 1, which left */
}

static void *load_and_idle(void *arg)
{
	struct writer *w = arg;

	threads_enter(&w->f->m, 1);
	kmm_space_activate(w->f->k, w->f->s);
	__atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE) == 1) {
		unsigned long was = kmm_port_irq_save(w->f->k);

		kmm_port_irq_restore(w->f->k, was); /* where this body takes IPIs */
	}
	threads_leave(&w->f->m, 1);
	return NULL;
}

static void vm_destroy_evicts_lazy_cpus(void **state)
{
	struct fixture f;
	struct writer w = { &f, 0 };
	struct kmm_space *next;
	pthread_t thread;

	(void)state;
	fixture_start(&f, kmm_preset_find("pagemill"), NULL, 2);
	assert_int_equal(map_at(f.s, BASE, 4, RW), KMM_OK);
	assert_true(poke(f.s, BASE, 1));
	assert_int_equal(pthread_create(&thread, NULL, load_and_idle, &w), 0);
	while (!__atomic_load_n(&w.stop, __ATOMIC_ACQUIRE))
		;
	kmm_space_destroy(f.s);
	assert_int_equal(kmm_space_create(f.k, &next), KMM_OK);
	assert_int_equal(kmm_space_pt(next)->active, 0);
	__atomic_store_n(&w.stop, 2, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vm_fork_child_sees_parents_contents),
		cmocka_unit_test(vm_fork_writes_stay_apart),
		cmocka_unit_test(vm_fork_regions_change_apart),
		cmocka_unit_test(vm_fork_protect_after_keeps_sharing),
		cmocka_unit_test(vm_fork_outlives_its_parent),
		cmocka_unit_test(vm_fork_chain_of_hundred_shares_frames),
		cmocka_unit_test(vm_fork_random_family_equals_arrays),
		cmocka_unit_test(vm_failed_fork_leaves_the_parent_alone),
		cmocka_unit_test(vm_failed_copy_leaves_the_page_shared),
		cmocka_unit_test(vm_fork_beside_a_writer_is_a_snapshot),
		cmocka_unit_test(vm_destroy_evicts_lazy_cpus),
	};

	return cmocka_run_group_tests_name("vm_fork", tests, NULL, NULL);
}
