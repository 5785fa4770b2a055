/* Motifs: sequences that reach a mechanism's interesting state at once, where
 * single random operations would need many lucky steps. They carry no expectation:
 * the model judges what follows, as for any trace.
 */
#include <kmm/fail.h>

#include "ops/motif.h"

static void cow_both_sides(struct motif *m)
{
	map(m, 3);
	touch(m, OP_WRITE, m->space);
	put(m, OP_FORK, m->space, m->child, 0, 0, 0);
	if (below(m, 2))
		cpu(m, below(m, 2));
	touch(m, OP_WRITE, m->space);
	touch(m, OP_READ, m->child);
	touch(m, OP_WRITE, m->child);
	touch(m, OP_READ, m->space);
	if (below(m, 2))
		put(m, OP_EXIT, m->child, 0, 0, 0, 0);
	touch(m, OP_WRITE, m->space);
}

static void unmap_seen_elsewhere(struct motif *m)
{
	unsigned here = below(m, 2);

	cpu(m, here);
	map(m, 3);
	touch(m, OP_WRITE, m->space);
	cpu(m, here + 1);
	touch(m, below(m, 2) ? OP_READ : OP_WRITE, m->space);
	if (below(m, 2))
		cpu(m, here);
	put(m, OP_UNMAP, m->space, m->window, m->page, m->pages, 0);
	cpu(m, here + below(m, 2));
	touch(m, OP_READ, m->space);
	if (below(m, 2)) {
		map(m, 3);
		touch(m, OP_READ, m->space);
	}
}

static void protect_seen_elsewhere(struct motif *m)
{
	map(m, 3);
	touch(m, OP_WRITE, m->space);
	cpu(m, 1);
	touch(m, OP_WRITE, m->space);
	cpu(m, 0);
	put(m, OP_PROTECT, m->space, m->window, m->page, m->pages, below(m, 2));
	cpu(m, 1);
	touch(m, OP_WRITE, m->space);
	touch(m, OP_READ, m->space);
	put(m, OP_PROTECT, m->space, m->window, m->page, m->pages, 3);
	touch(m, OP_WRITE, m->space);
}

/* Blocks of several orders, freed in another order, then taken again larger. */
static void split_and_merge(struct motif *m)
{
	unsigned base = below(m, OPS_SLOTS), n = 2 + below(m, 6), order = below(m, 4);

	for (unsigned i = 0; i < n; i++)
		put(m, OP_FRAME_ALLOC, base + i, order + (below(m, 3) == 0), 0, 0, 0);
	for (unsigned i = 0; i < n; i++)
		put(m, OP_FRAME_FREE, base + (i * 5 + 3) % n, 0, 0, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		put(m, OP_FRAME_ALLOC, base + n + i, order + i, 0, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		put(m, OP_FRAME_FREE, base + n + i, 0, 0, 0, 0);
}

/* Down to the last frame: large blocks, then ever smaller ones into what is left; some
 * come back, and are taken again. */
static void exhaust(struct motif *m)
{
	unsigned base = below(m, OPS_SLOTS), n = 0;

	for (unsigned order = 7; order-- > 0;)
		for (unsigned i = 0; i < 4; i++)
			put(m, OP_FRAME_ALLOC, base + n++, order, 0, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		put(m, OP_FRAME_FREE, base + below(m, n), 0, 0, 0, 0);
	if (below(m, 2))
		cpu(m, below(m, 2));
	for (unsigned i = 0; i < 4; i++)
		put(m, OP_FRAME_ALLOC, base + n + i, i / 2u, 0, 0, 0);
}

/* Sizes at and about the ends of size classes: powers of two, and half between. */
static void object_churn(struct motif *m)
{
	unsigned base = below(m, OPS_SLOTS), n = 2 + below(m, 8);
	unsigned bytes = ((2u + below(m, 2)) << (2 + below(m, 11))) - 1u + below(m, 3);

	for (unsigned i = 0; i < n; i++)
		put(m, OP_OBJECT_ALLOC, base + i, bytes, 0, 0, 0);
	if (below(m, 2))
		cpu(m, below(m, 2));
	for (unsigned i = 0; i < n; i++)
		put(m, OP_OBJECT_FREE, base + (n - 1 - i), 0, 0, 0, 0);
	put(m, OP_OBJECT_ALLOC, base, bytes, 0, 0, 0);
}

static void break_up_and_down(struct motif *m)
{
	unsigned high = 2 + below(m, 62), low = below(m, high);

	put(m, OP_BREAK, m->space, high, 0, 0, 0);
	put(m, OP_WRITE, m->space, OPS_HEAP_WINDOW, 0, high, below(m, 256));
	put(m, OP_BREAK, m->space, low, 0, 0, 0);
	put(m, OP_READ, m->space, OPS_HEAP_WINDOW, low ? low - 1 : 0, 2, 0);
	put(m, OP_BREAK, m->space, high, 0, 0, 0);
	put(m, OP_READ, m->space, OPS_HEAP_WINDOW, 0, high, 0);
}

static void replace_the_middle(struct motif *m)
{
	m->pages += 2;
	map(m, 3);
	touch(m, OP_WRITE, m->space);
	put(m, below(m, 2) ? OP_MAP : OP_UNMAP, m->space, m->window, m->page + 1, m->pages - 2,
	    3);
	put(m, OP_READ, m->space, m->window, m->page, 1, 0);
	put(m, OP_READ, m->space, m->window, m->page + m->pages - 1, 1, 0);
	touch(m, OP_READ, m->space);
	put(m, OP_PROTECT, m->space, m->window, m->page, m->pages, 1);
}

/* Every other page in use, so that what is dropped at once isn't one range. */
static void scattered(struct motif *m)
{
	unsigned n = 4 + below(m, 16);

	put(m, OP_MAP, m->space, m->window, 0, OPS_WINDOW_PAGES, 3);
	for (unsigned i = 0; i < n; i++)
		put(m, OP_WRITE, m->space, m->window, 2 * i, 1, i);
	cpu(m, 1);
	put(m, OP_READ, m->space, m->window, 0, 2 * n, 0);
	cpu(m, below(m, 2));
	switch (below(m, 3)) {
	case 0:
		put(m, OP_FORK, m->space, m->child, 0, 0, 0);
		break;
	case 1:
		put(m, OP_PROTECT, m->space, m->window, 0, OPS_WINDOW_PAGES, 1);
		break;
	default:
		put(m, OP_UNMAP, m->space, m->window, 0, OPS_WINDOW_PAGES, 0);
	}
	cpu(m, 1);
	put(m, OP_WRITE, m->space, m->window, 0, 2 * n, below(m, 256));
}

/* Regions up to a preset's limit: each page but the first cuts one off. */
static void many_regions(struct motif *m)
{
	put(m, OP_MAP, m->space, m->window, 0, OPS_WINDOW_PAGES, 3);
	for (unsigned i = 0; i < 32; i++)
		put(m, OP_PROTECT, m->space, m->window, 2 * i + 1, 1, 1);
	m->window = (m->window + 1) % OPS_FIXED_WINDOWS;
	map(m, 3);
	put(m, OP_UNMAP, m->space, m->window, m->page + m->pages / 2u, 1, 0);
	put(m, OP_PROTECT, m->space, m->window, m->page, 1, 1);
}

/* A space that another CPU still has loaded ends, and the next one takes its place. */
static void respawn_elsewhere(struct motif *m)
{
	unsigned here = below(m, 2);

	map(m, 3);
	touch(m, OP_WRITE, m->space);
	for (unsigned i = 0; i < 2; i++) {
		put(m, OP_FORK, m->space, m->child, 0, 0, 0);
		cpu(m, here + 1);
		touch(m, i ? OP_WRITE : OP_READ, m->child);
		if (i == 0)
			cpu(m, here);
		put(m, OP_EXIT, m->child, 0, 0, 0, 0);
	}
	touch(m, OP_READ, m->space);
}

static void grandchild(struct motif *m)
{
	unsigned third = (m->child + 1) % OPS_SPACES;

	map(m, 3);
	touch(m, OP_WRITE, m->space);
	put(m, OP_FORK, m->space, m->child, 0, 0, 0);
	put(m, OP_FORK, m->child, third, 0, 0, 0);
	touch(m, OP_WRITE, m->child);
	put(m, OP_EXIT, m->child, 0, 0, 0, 0);
	touch(m, OP_READ, third);
	touch(m, OP_WRITE, third);
	touch(m, OP_READ, m->space);
	put(m, OP_EXIT, third, 0, 0, 0, 0);
}

/* What only splits a region takes objects and nothing else. */
static void fail_within(struct motif *m)
{
	unsigned kind = below(m, 6), class = kind < 3 ? below(m, 3) : KMM_FAIL_OBJECT;

	m->pages += 2;
	map(m, 3);
	touch(m, OP_WRITE, m->space);
	put(m, OP_FAIL, class, below(m, 2) ? 1 : 1 + below(m, 6), 0, 0, 0);
	switch (kind) {
	case 0:
		put(m, OP_FORK, m->space, m->child, 0, 0, 0);
		touch(m, OP_WRITE, m->child);
		break;
	case 1:
		m->window = (m->window + 1) % OPS_FIXED_WINDOWS;
		map(m, 3);
		break;
	case 2:
		m->page = (m->page + 32) % OPS_WINDOW_PAGES;
		map(m, 3);
		touch(m, OP_WRITE, m->space);
		break;
	case 3:
		put(m, OP_UNMAP, m->space, m->window, m->page + 1, 1, 0);
		break;
	case 4:
		put(m, OP_PROTECT, m->space, m->window, m->page + 1, 1, 1);
		break;
	default:
		put(m, OP_MAP, m->space, m->window, m->page + 1, 1, 1);
	}
	touch(m, OP_READ, m->space);
}

/* 2 MiB blocks: opened from one end, closed from the other, and taken whole. */
static void whole_blocks(struct motif *m)
{
	unsigned base = below(m, OPS_SLOTS), n = 4 + below(m, 8);

	for (unsigned i = 0; i < n; i++)
		put(m, OP_FRAME_ALLOC, base + i, below(m, 3) ? 6 + below(m, 4) : below(m, 4), 0, 0,
		    0);
	put(m, OP_RANGE_ALLOC, base + n, 400 + below(m, 400), below(m, 10), below(m, 4), 0);
	if (below(m, 2))
		cpu(m, below(m, 2));
	for (unsigned i = 0; i <= n; i++)
		put(m, OP_FRAME_FREE, base + (i * 5 + 3) % (n + 1), 0, 0, 0, 0);
	put(m, OP_DRAIN, 0, 0, 0, 0, 0);
	put(m, OP_FRAME_ALLOC, base, 9, 0, 0, 0);
	put(m, OP_FRAME_FREE, base, 0, 0, 0, 0);
}

/* Zeros that are remembered, by those who hand them on and those who don't. */
static void zeros(struct motif *m)
{
	unsigned base = below(m, OPS_SLOTS), order = below(m, 4);

	put(m, OP_FRAME_ALLOC_ON, base, order, below(m, 4), 0, 0);
	put(m, OP_FRAME_ALLOC_ON, base + 1, order, below(m, 4), 0, 0);
	put(m, OP_FRAME_FREE_ZEROED, base, 0, 0, 0, 0);
	put(m, below(m, 2) ? OP_FRAME_FREE : OP_FRAME_FREE_ZEROED, base + 1, 0, 0, 0, 0);
	if (below(m, 2))
		put(m, below(m, 2) ? OP_DRAIN : OP_ZERO_IDLE, 1 + below(m, 40), 0, 0, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		unsigned other = below(m, 4);

		put(m, OP_FRAME_ALLOC_ON, base + i, other, OPS_FLAG_ZERO | below(m, 4), 0, 0);
		if (below(m, 2))
			put(m, OP_FRAME_FREE, base + i, 0, 0, 0, 0);
	}
	if (below(m, 2))
		put(m, OP_RANGE_ALLOC, base + 3, 1 + below(m, 30), below(m, 3), OPS_FLAG_ZERO, 0);
}

/* Places go out of use while their neighbours are allocated and freed. */
static void out_of_use(struct motif *m)
{
	enum op_code code = below(m, 2) ? OP_ISOLATE : OP_PLUG;
	unsigned on = code == OP_ISOLATE, base = below(m, OPS_SLOTS), n = 2 + below(m, 6);
	unsigned spot = below(m, OPS_SPOTS);

	for (unsigned i = 0; i < n; i++)
		put(m, OP_FRAME_ALLOC, base + i, below(m, 5), 0, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		put(m, code, on, spot + i * 5, 0, 0, 0);
	for (unsigned i = 0; i < n; i++)
		put(m, OP_FRAME_FREE, base + i, 0, 0, 0, 0);
	put(m, OP_RANGE_ALLOC, base, 1 + below(m, 60), 0, below(m, 4), below(m, 4));
	for (unsigned i = 0; i < 3; i++)
		put(m, code, !on, spot + i * 5, 0, 0, 0);
}

/* Down to the reserve, with somebody who gives back under pressure, or without. */
static void last_frames(struct motif *m)
{
	unsigned base = below(m, OPS_SLOTS), n = 0;

	if (below(m, 2))
		put(m, OP_LISTEN, 1 + below(m, 64), 0, 0, 0, 0);
	for (unsigned order = 7; order-- > 0;)
		for (unsigned i = 0; i < 4; i++)
			put(m, OP_FRAME_ALLOC, base + n++, order, 0, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		put(m, OP_FRAME_ALLOC_ON, base + n++, 0, OPS_FLAG_RESERVE | below(m, 8), 0, 0);
	for (unsigned i = 0; i < 3; i++)
		put(m, OP_FRAME_FREE, base + below(m, n), 0, 0, 0, 0);
	put(m, OP_FRAME_ALLOC_ON, base + n, 0, OPS_FLAG_RESERVE, below(m, 13), 0);
	if (below(m, 2))
		put(m, OP_LISTEN, 0, 0, 0, 0, 0);
}

static void start_motif(struct motif *m, struct op *out, const struct ops_scene *scene,
			struct ops_rng *rng)
{
	struct op fork = ops_random(OP_FORK, rng);

	*m = (struct motif){ .out = out, .scene = scene, .rng = rng };
	ops_aim(&fork, scene, rng);
	m->space = fork.arg[0];
	m->child = fork.arg[1];
	m->window = below(m, OPS_FIXED_WINDOWS);
	m->page = below(m, 2) ? below(m, OPS_WINDOW_PAGES) : 30 + below(m, 3);
	m->pages = 1 + below(m, 4);
}

size_t ops_motif(struct op out[OPS_MOTIF_MAX], const struct ops_scene *scene,
		 struct ops_rng *rng)
{
	static void (*const motifs[])(struct motif *) = {
		cow_both_sides, unmap_seen_elsewhere, protect_seen_elsewhere,
		split_and_merge, exhaust, object_churn, break_up_and_down,
		replace_the_middle, scattered, many_regions,
		respawn_elsewhere, grandchild, fail_within, whole_blocks, zeros, out_of_use,
		last_frames,
	};
	struct motif m;

	start_motif(&m, out, scene, rng);
	motifs[below(&m, sizeof(motifs) / sizeof(*motifs))](&m);
	return m.n;
}

size_t ops_motif_together(struct op out[OPS_MOTIF_MAX], const struct ops_scene *scene,
			  struct ops_rng *rng)
{
	struct motif m;

	start_motif(&m, out, scene, rng);
	motif_together(&m);
	return m.n;
}
