/// What motifs are written with; for motif.c and motif_together.c.
#ifndef OPS_MOTIF_H
#define OPS_MOTIF_H

#include "ops/edit.h"
#include "ops/scene.h"

struct motif {
	struct op *out;
	size_t n;
	const struct ops_scene *scene;
	struct ops_rng *rng;
	unsigned space, child, window, page, pages; /* who and where, chosen beforehand */
};

static inline void put(struct motif *m, enum op_code code, unsigned a, unsigned b, unsigned c,
		       unsigned d, unsigned e)
{
	struct op raw = { .code = (uint8_t)code,
			  .arg = { (uint16_t)a, (uint16_t)b, (uint16_t)c, (uint16_t)d,
				   (uint16_t)e } };

	if (m->n < OPS_MOTIF_MAX)
		m->out[m->n++] = ops_normalise(raw);
}

static inline unsigned below(struct motif *m, unsigned end)
{
	return ops_rng_below(m->rng, end);
}

static inline void map(struct motif *m, unsigned prot)
{
	put(m, OP_MAP, m->space, m->window, m->page, m->pages, prot);
}

static inline void touch(struct motif *m, enum op_code code, unsigned space)
{
	put(m, code, space, m->window, m->page, m->pages,
	    code == OP_WRITE ? below(m, 256) : 0);
}

static inline void cpu(struct motif *m, unsigned i)
{
	put(m, OP_CPU, i, 0, 0, 0, 0);
}

/// One of the motifs with a concurrent section.
void motif_together(struct motif *m);

#endif
