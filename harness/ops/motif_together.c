/* Motifs with a concurrent section: two or three CPUs at one mechanism, after what
 * brings it to the state where they can hurt each other. Who wins, the section's
 * strategy decides.
 *
 * CPUs are named from `here` on, and bodies take them modulo their own, so that with
 * two CPUs the third's part falls to the first.
 */
#include <kmm/fail.h>

#include "ops/motif.h"

void ops_random_strategy(struct op *together, struct ops_rng *rng)
{
	unsigned r = ops_rng_below(rng, 16);

	*together = ops_random(OP_TOGETHER, rng);
	together->arg[0] = (uint16_t)(r < 7 ? 1 : r < 9 ? 2 : r < 13 ? 3 : r < 15 ? 4 : 0);
}

static void together(struct motif *m)
{
	struct op op;

	ops_random_strategy(&op, m->rng);
	if (op.arg[0] == 0)
		op.arg[0] = 1;
	put(m, OP_TOGETHER, op.arg[0], op.arg[1], 0, 0, 0);
}

static void join(struct motif *m)
{
	put(m, OP_JOIN, 0, 0, 0, 0, 0);
}

/* What the section left behind is looked at from both sides. */
static void look(struct motif *m, unsigned here)
{
	cpu(m, here);
	touch(m, OP_READ, m->space);
	if (below(m, 2)) {
		cpu(m, here + 1);
		touch(m, OP_WRITE, m->space);
		touch(m, OP_READ, m->space);
	}
}

/* Pages that both CPUs have reached already, so that both may hold translations. */
static void shared_pages(struct motif *m, unsigned here)
{
	cpu(m, here + 1);
	map(m, 3);
	if (below(m, 4))
		touch(m, OP_WRITE, m->space);
	cpu(m, here);
	if (below(m, 2))
		touch(m, OP_READ, m->space);
}

/* Something else on a third CPU, often nothing. */
static void third(struct motif *m, unsigned here)
{
	switch (below(m, 5)) {
	case 0:
		cpu(m, here + 2);
		touch(m, OP_READ, m->space);
		break;
	case 1:
		cpu(m, here + 2);
		touch(m, OP_WRITE, m->space);
		break;
	case 2:
		cpu(m, here + 2);
		put(m, OP_FRAME_ALLOC, below(m, OPS_SLOTS), below(m, 3), 0, 0, 0);
		break;
	default:
		break;
	}
}

/* Unmap, protect, map or fork here while the other CPU accesses. */
static void access_against_change(struct motif *m)
{
	unsigned here = below(m, 2), kind = below(m, 4);
	enum op_code access = below(m, 3) ? OP_WRITE : OP_READ;

	shared_pages(m, here);
	together(m);
	cpu(m, here);
	if (kind == 0)
		put(m, OP_UNMAP, m->space, m->window, m->page, m->pages, 0);
	else if (kind == 1)
		put(m, OP_PROTECT, m->space, m->window, m->page, m->pages, below(m, 2));
	else if (kind == 2)
		map(m, below(m, 2) ? 3 : 1);
	else
		put(m, OP_FORK, m->space, m->child, 0, 0, 0);
	if (kind == 3 && below(m, 2))
		touch(m, OP_WRITE, m->child);
	cpu(m, here + 1);
	touch(m, access, m->space);
	if (below(m, 2))
		touch(m, below(m, 2) ? OP_READ : OP_WRITE, m->space);
	third(m, here);
	join(m);
	look(m, here);
	if (kind == 3)
		touch(m, OP_READ, m->child);
}

/* Two CPUs change the same range. */
static void change_against_change(struct motif *m)
{
	unsigned here = below(m, 2), n = 2 + below(m, 2);

	m->pages += 2;
	shared_pages(m, here);
	together(m);
	for (unsigned i = 0; i < n; i++) {
		unsigned page = m->page + below(m, 2), kind = below(m, 4);

		cpu(m, here + i);
		if (kind < 2)
			put(m, OP_MAP, m->space, m->window, page, m->pages, kind ? 3 : 1);
		else if (kind == 2)
			put(m, OP_UNMAP, m->space, m->window, page, m->pages, 0);
		else
			put(m, OP_PROTECT, m->space, m->window, page, m->pages - 1,
			    below(m, 4));
	}
	third(m, here);
	join(m);
	look(m, here);
}

/* The same page for the first time, or copied by both. */
static void two_faults(struct motif *m)
{
	unsigned here = below(m, 2);
	bool copied = below(m, 2);

	map(m, 3);
	if (copied) {
		touch(m, OP_WRITE, m->space);
		put(m, OP_FORK, m->space, m->child, 0, 0, 0);
	}
	together(m);
	cpu(m, here);
	touch(m, OP_WRITE, m->space);
	cpu(m, here + 1);
	touch(m, below(m, 3) ? OP_WRITE : OP_READ, copied && below(m, 2) ? m->child : m->space);
	third(m, here);
	join(m);
	look(m, here);
	if (copied)
		touch(m, OP_READ, m->child);
}

/* A CPU comes to the space, or leaves it for another, while its pages change: taken
 * away, made read-only, or replaced by a copy. */
static void change_against_arrival(struct motif *m)
{
	unsigned here = below(m, 2), kind = below(m, 4);
	bool leaves = below(m, 2);

	map(m, 3);
	touch(m, OP_WRITE, m->space);
	put(m, OP_FORK, m->space, m->child, 0, 0, 0);
	cpu(m, here + 1);
	touch(m, OP_READ, m->child);
	if (leaves)
		touch(m, OP_READ, m->space);
	cpu(m, here);
	touch(m, OP_READ, m->space);
	together(m);
	if (kind < 2)
		touch(m, OP_WRITE, m->space);
	else if (kind == 2)
		put(m, OP_UNMAP, m->space, m->window, m->page, m->pages, 0);
	else
		put(m, OP_PROTECT, m->space, m->window, m->page, m->pages, 1);
	if (below(m, 3) == 0)
		map(m, 3);
	cpu(m, here + 1);
	touch(m, OP_READ, leaves ? m->child : m->space);
	if (below(m, 2))
		touch(m, OP_READ, leaves ? m->space : m->child);
	third(m, here);
	join(m);
	look(m, here);
}

/* Requests of two kinds, or two shootdowns of different spaces, at the same time: what
 * is asked of a CPU must not get lost, nor mixed up. */
static void requests_meet(struct motif *m)
{
	unsigned here = below(m, 2);
	bool drains = below(m, 2);

	map(m, 3);
	touch(m, OP_WRITE, m->space);
	put(m, OP_FORK, m->space, m->child, 0, 0, 0);
	cpu(m, here + 2);
	touch(m, OP_READ, m->space);
	if (drains) /* only who holds frames is asked */
		put(m, OP_FRAME_ALLOC, below(m, OPS_SLOTS), 0, 0, 0, 0);
	cpu(m, here + 3);
	touch(m, OP_READ, drains ? m->space : m->child);
	if (drains && below(m, 2))
		put(m, OP_FRAME_ALLOC, below(m, OPS_SLOTS), 0, 0, 0, 0);
	together(m);
	cpu(m, here);
	put(m, below(m, 2) ? OP_UNMAP : OP_PROTECT, m->space, m->window, m->page, m->pages, 1);
	cpu(m, here + 1);
	if (drains)
		put(m, OP_DRAIN, 0, 0, 0, 0, 0);
	else
		put(m, OP_UNMAP, m->child, m->window, m->page, m->pages, 0);
	if (below(m, 2)) {
		cpu(m, here + 2);
		touch(m, OP_READ, m->space);
	}
	join(m);
	look(m, here);
	cpu(m, here + 3);
	touch(m, OP_READ, m->child);
}

/* Families come and go on all sides. */
static void fork_against_exit(struct motif *m)
{
	unsigned here = below(m, 2), other = (m->child + 1) % OPS_SPACES;
	unsigned last = (m->child + 2) % OPS_SPACES;

	map(m, 3);
	touch(m, OP_WRITE, m->space);
	put(m, OP_FORK, m->space, m->child, 0, 0, 0);
	if (below(m, 2))
		touch(m, OP_WRITE, m->child);
	together(m);
	cpu(m, here);
	put(m, OP_EXIT, m->child, 0, 0, 0, 0);
	cpu(m, here + 1);
	put(m, OP_FORK, m->space, other, 0, 0, 0);
	touch(m, OP_WRITE, below(m, 2) ? other : m->space);
	cpu(m, here + 2);
	put(m, OP_FORK, m->space, last, 0, 0, 0);
	if (below(m, 2))
		put(m, OP_EXIT, last, 0, 0, 0, 0);
	join(m);
	look(m, here);
	touch(m, OP_READ, other);
}

static void breaks(struct motif *m)
{
	unsigned here = below(m, 2), high = 2 + below(m, 30);

	put(m, OP_BREAK, m->space, high, 0, 0, 0);
	put(m, OP_WRITE, m->space, OPS_HEAP_WINDOW, 0, high, below(m, 256));
	together(m);
	cpu(m, here);
	put(m, OP_BREAK, m->space, below(m, high), 0, 0, 0);
	if (below(m, 2))
		put(m, OP_BREAK, m->space, high + below(m, 4), 0, 0, 0);
	cpu(m, here + 1);
	if (below(m, 2))
		put(m, OP_BREAK, m->space, high + 1 + below(m, 8), 0, 0, 0);
	put(m, below(m, 2) ? OP_READ : OP_WRITE, m->space, OPS_HEAP_WINDOW, high / 2u, 2,
	    below(m, 256));
	join(m);
	put(m, OP_READ, m->space, OPS_HEAP_WINDOW, 0, high, 0);
}

/* Every CPU has slots of its own; what they meet in is kmm's. */
static void storm(struct motif *m)
{
	unsigned cpus_n = 2 + below(m, 3), base = below(m, OPS_SLOTS), kind = below(m, 3);
	unsigned order = below(m, 2) ? 0 : below(m, 4), bytes = 8u << below(m, 9);

	for (unsigned i = 0; i < cpus_n; i++)
		put(m, kind ? OP_FRAME_ALLOC : OP_OBJECT_ALLOC, base + 8 * i,
		    kind ? order : bytes, 0, 0, 0);
	together(m);
	for (unsigned i = 0; i < cpus_n; i++) {
		unsigned n = 2 + below(m, 3);

		cpu(m, i);
		for (unsigned k = 0; k < n; k++) {
			bool gives = k == 0 || below(m, 3) == 0;
			unsigned slot = base + 8 * i + (gives ? k / 2u : k);

			if (below(m, 6) == 0)
				put(m, OP_INTERRUPT, 0, 0, 0, 0, 0);
			if (gives)
				put(m, kind ? OP_FRAME_FREE : OP_OBJECT_FREE, slot, 0, 0, 0, 0);
			else
				put(m, kind ? OP_FRAME_ALLOC : OP_OBJECT_ALLOC, slot,
				    kind ? order : bytes, 0, 0, 0);
		}
		if (kind == 2 && below(m, 2))
			put(m, OP_DRAIN, 0, 0, 0, 0, 0);
	}
	join(m);
	if (below(m, 2))
		put(m, OP_DRAIN, 0, 0, 0, 0, 0);
}

/* Next to no memory, and what there is lies in the CPUs' caches. */
static void short_of_memory(struct motif *m)
{
	unsigned base = below(m, OPS_SLOTS), n = 0, here = below(m, 2);

	for (unsigned order = 8; order-- > 0;)
		for (unsigned i = 0; i < 2u + (order == 7); i++)
			put(m, OP_FRAME_ALLOC, base + n++, order, 0, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		cpu(m, here + i);
		put(m, OP_FRAME_FREE, base + n - 1 - i, 0, 0, 0, 0);
	}
	together(m);
	for (unsigned i = 0; i < 3; i++) {
		cpu(m, here + i);
		if (below(m, 4) == 0)
			put(m, OP_DRAIN, 0, 0, 0, 0, 0);
		if (below(m, 4) == 0)
			put(m, OP_BREAK, m->space, 1 + below(m, 8), 0, 0, 0);
		put(m, OP_FRAME_ALLOC, base + n + i, below(m, 3), 0, 0, 0);
		if (below(m, 2))
			put(m, OP_FRAME_FREE, base + 3 * i, 0, 0, 0, 0);
	}
	join(m);
	for (unsigned i = 0; i < 3; i++)
		put(m, OP_FRAME_FREE, base + i, 0, 0, 0, 0);
}

/* A handler allocates in the middle of what its CPU was about, or waited for. */
static void interrupted(struct motif *m)
{
	unsigned here = below(m, 2), slot = below(m, OPS_SLOTS);

	shared_pages(m, here);
	together(m);
	cpu(m, here);
	put(m, OP_INTERRUPT, 0, 0, 0, 0, 0);
	if (below(m, 2))
		put(m, OP_FRAME_ALLOC, slot, below(m, 2), 0, 0, 0);
	else
		put(m, OP_OBJECT_ALLOC, slot, 16u << below(m, 8), 0, 0, 0);
	if (below(m, 2))
		put(m, OP_OBJECT_ALLOC, slot + 1, 16u << below(m, 8), 0, 0, 0);
	else
		touch(m, OP_WRITE, m->space);
	cpu(m, here + 1);
	if (below(m, 2))
		put(m, OP_UNMAP, m->space, m->window, m->page, m->pages, 0);
	else
		put(m, OP_DRAIN, 0, 0, 0, 0, 0);
	put(m, OP_OBJECT_ALLOC, slot + 2, 16u << below(m, 8), 0, 0, 0);
	join(m);
	look(m, here);
}

/* An allocation fails on one CPU while another is in the same space. */
static void failing(struct motif *m)
{
	unsigned here = below(m, 2);

	m->pages += 2;
	shared_pages(m, here);
	together(m);
	cpu(m, here);
	put(m, OP_FAIL, below(m, 3), 1 + below(m, 4), 0, 0, 0);
	if (below(m, 2))
		put(m, OP_FORK, m->space, m->child, 0, 0, 0);
	else
		put(m, OP_UNMAP, m->space, m->window, m->page + 1, 1, 0);
	cpu(m, here + 1);
	touch(m, OP_WRITE, m->space);
	put(m, OP_PROTECT, m->space, m->window, m->page + 1, 1, 1);
	join(m);
	look(m, here);
}

/* One that takes or gives frames, in one of the ways that pass the caches by. */
static void by_place(struct motif *m, unsigned slot)
{
	unsigned spot = below(m, OPS_SPOTS);

	switch (below(m, 7)) {
	case 0:
		put(m, OP_RANGE_ALLOC, slot, 1 + below(m, 80), below(m, 4), below(m, 4),
		    below(m, 4));
		break;
	case 1:
		put(m, OP_ISOLATE, 1, spot, 0, 0, 0);
		if (below(m, 2))
			put(m, OP_ISOLATE, 0, spot, 0, 0, 0);
		break;
	case 2:
		put(m, OP_PLUG, 0, spot, 0, 0, 0);
		if (below(m, 2))
			put(m, OP_PLUG, 1, spot, 0, 0, 0);
		break;
	case 3:
		put(m, OP_FRAME_ALLOC_ON, slot, 0, OPS_FLAG_RESERVE | below(m, 8), 0, 0);
		break;
	case 4:
		put(m, OP_FRAME_FREE, slot + 1, 0, 0, 0, 0);
		break;
	case 5:
		put(m, OP_ZERO_IDLE, 1 + below(m, 30), 0, 0, 0, 0);
		break;
	default:
		put(m, OP_FRAME_ALLOC, slot, below(m, 3) ? 4 + below(m, 6) : 0, 0, 0, 0);
		put(m, OP_FRAME_FREE, slot, 0, 0, 0, 0);
	}
}

/* Next to all memory is in use. The last parts of a 2 MiB block come back on one CPU, while
 * the one that opened it takes frames out of it. */
static void block_closes(struct motif *m)
{
	unsigned base = below(m, OPS_SLOTS), here = below(m, 2), n = 16;
	unsigned first = 3 + below(m, 6);

	cpu(m, here);
	for (unsigned i = 0; i < n; i++)
		put(m, OP_FRAME_ALLOC, base + i, i < 10 ? 8 : 7, 0, 0, 0);
	put(m, OP_FRAME_FREE, base + 15, 0, 0, 0, 0);
	put(m, OP_FRAME_FREE, base + 14, 0, 0, 0, 0);
	for (unsigned i = 10; i-- > first;)
		put(m, OP_FRAME_FREE, base + i, 0, 0, 0, 0);
	put(m, OP_FRAME_ALLOC, base + 20, 8, 0, 0, 0);
	put(m, OP_FRAME_ALLOC, base + 21, 8, 0, 0, 0);
	together(m);
	cpu(m, here + 1);
	put(m, OP_FRAME_FREE, base + 20, 0, 0, 0, 0);
	put(m, OP_FRAME_FREE, base + 21, 0, 0, 0, 0);
	cpu(m, here);
	put(m, OP_FRAME_ALLOC, base + 30, 4 + below(m, 3), 0, 0, 0);
	put(m, OP_FRAME_FREE, base + 30, 0, 0, 0, 0);
	put(m, OP_FRAME_ALLOC, base + 31, 4 + below(m, 5), 0, 0, 0);
	join(m);
	put(m, OP_DRAIN, 0, 0, 0, 0, 0);
	put(m, OP_FRAME_ALLOC, base + 32, 9, 0, 0, 0);
}

/* All is in use but the reserve, which two CPUs take from and fill up again. */
static void reserve_meets(struct motif *m)
{
	unsigned base = below(m, OPS_SLOTS), n = 0;

	for (unsigned order = 9; order-- > 0;)
		for (unsigned i = 0; i < 2u + (order < 2u); i++)
			put(m, OP_FRAME_ALLOC, base + n++, order, 0, 0, 0);
	together(m);
	for (unsigned i = 0; i < 2; i++) {
		cpu(m, i);
		put(m, OP_FRAME_ALLOC_ON, base + n + i, 0, OPS_FLAG_RESERVE | OPS_FLAG_NOWAIT, 0,
		    0);
		put(m, OP_FRAME_ALLOC_ON, base + n + 2 + i, 0, OPS_FLAG_RESERVE, 0, 0);
		put(m, OP_RANGE_ALLOC, base + n + 4 + i, 1, 0, 0, 0);
		put(m, OP_FRAME_FREE, base + n + (below(m, 2) ? 0 : 4) + i, 0, 0, 0, 0);
	}
	join(m);
}

static void frames_by_place(struct motif *m)
{
	unsigned base = below(m, OPS_SLOTS), cpus_n = 2 + below(m, 2);

	for (unsigned i = 0; i < cpus_n; i++)
		put(m, OP_FRAME_ALLOC, base + 8 * i + 1, below(m, 10), 0, 0, 0);
	if (below(m, 3) == 0)
		for (unsigned i = 0; i < 8; i++)
			put(m, OP_FRAME_ALLOC, base + 40 + i, 7 - i / 2u, 0, 0, 0);
	together(m);
	for (unsigned i = 0; i < cpus_n; i++) {
		cpu(m, i);
		for (unsigned n = 1 + below(m, 3); n; n--)
			by_place(m, base + 8 * i + (n == 3 ? 2 : 0));
	}
	join(m);
	if (below(m, 2))
		put(m, OP_DRAIN, 0, 0, 0, 0, 0);
}

void motif_together(struct motif *m)
{
	static void (*const motifs[])(struct motif *) = {
		access_against_change, access_against_change, change_against_change, two_faults,
		change_against_arrival, change_against_arrival, requests_meet, requests_meet,
		fork_against_exit, breaks, storm, storm, short_of_memory, interrupted, failing,
		frames_by_place, frames_by_place, block_closes, block_closes, reserve_meets,
	};

	motifs[below(m, sizeof(motifs) / sizeof(*motifs))](m);
}
