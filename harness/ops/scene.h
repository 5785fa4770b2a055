/// A guess of where a trace stands, for making operations that mean something: who
/// is alive and what is mapped if every operation succeeded. Not the model: it
/// knows neither contents nor limits, and nothing is judged by it.
#ifndef OPS_SCENE_H
#define OPS_SCENE_H

#include "ops/ops.h"
#include "ops/rng.h"

struct ops_scene {
	struct ops_names names;
	uint64_t mapped[OPS_SPACES][OPS_WINDOWS]; /* a bit per page */
	uint64_t writable[OPS_SPACES][OPS_WINDOWS];
	uint8_t heap_pages[OPS_SPACES];
};

void ops_scene_start(struct ops_scene *s);
void ops_scene_follow(struct ops_scene *s, const struct op *op);

/// Follows ops[0..n-1] from the start.
void ops_scene_at(struct ops_scene *s, const struct op *ops, size_t n);

/// Pages mapped in one space; frames that all of it could hold at most: mapped
/// pages, blocks in slots, and OPS_SCENE_TABLES for each space's tables.
#define OPS_SCENE_TABLES 48u
uint32_t ops_scene_space_pages(const struct ops_scene *s, unsigned space);
uint32_t ops_scene_frames(const struct ops_scene *s);

/// A random operation of that code, its operands anywhere in the language.
struct op ops_random(enum op_code code, struct ops_rng *rng);

/// Turns an operation's names to what is there: live spaces and mapped ranges for
/// what needs them, free numbers for what makes them.
void ops_aim(struct op *op, const struct ops_scene *s, struct ops_rng *rng);

#endif
