/// Judges a history: is there an order in which each operation took effect at one
/// moment between its begin and its end, such that the model gives the outcomes seen?
/// linear.c says what is one step, and how the question is partitioned.
/// Source: Herlihy & Wing, Linearizability, TOPLAS 1990; Lowe, Testing for
/// linearizability, 2017 (the search).
#ifndef LINEAR_H
#define LINEAR_H

#include "run/history.h"
#include "run/section.h"

struct body; /* the model */

/// Judges, and brings the model to where the body is. `names`: as they were before the
/// section; the caller follows them itself.
/// Returns false, and one line in why, if no order explains the history.
bool linear_judge(struct body *model, const struct section *s, const struct ops_names *names,
		  const struct history *h, char *why, size_t why_bytes);

#endif
