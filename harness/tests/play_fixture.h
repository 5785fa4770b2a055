/// Traces written down as text, for tests.
#ifndef PLAY_FIXTURE_H
#define PLAY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/file.h"
#include "ops/text.h"

static inline struct op parse_op(const char *line)
{
	char buf[160];
	struct op op;
	const char *fault = ops_parse(line, &op, buf, sizeof(buf));

	if (fault)
		fail_msg("%s: %s", line, fault);
	return op;
}

/// Operations separated by ';' or newlines. Owns: the caller frees ops.
static inline struct ops_trace parse_trace(const char *text)
{
	struct ops_trace t = { calloc(strlen(text) + 1, sizeof(struct op)), 0 };

	while (*text) {
		size_t n = strcspn(text, ";\n");
		char line[128];

		assert_true(n < sizeof(line));
		memcpy(line, text, n);
		line[n] = 0;
		if (!ops_line_blank(line))
			t.ops[t.ops_n++] = parse_op(line);
		text += n + (text[n] != 0);
	}
	return t;
}

#endif
