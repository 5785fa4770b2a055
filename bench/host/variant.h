/// What is measured: a preset, or the row `pagemill` with another frame policy, named
/// `pagemill+POLICY`.
#ifndef VARIANT_H
#define VARIANT_H

#include <kmm/kmm.h>

#define VARIANTS_MAX 24u /* at most so many */

struct variant {
	char name[48];
	struct kmm_preset row; /* row.name is name */
};

/// The i-th variant, presets first; NULL past the last. Policies that this build
/// refuses are left out.
const struct variant *variant_at(unsigned i);

/// NULL if there is none of that name.
const struct variant *variant_find(const char *name);

bool variant_is_preset(const struct variant *v);

/// Eight hex digits' worth of the row, the compiler and its flags: figures compare only
/// under the same one.
uint32_t variant_hash(const struct variant *v);

#endif
