/// The command line: words key=value, parted by spaces.
#include "glue.h"

bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/// The text behind "key=" where it begins a word, or NULL.
static const char *find(const char *line, const char *key)
{
	for (const char *at = line; *at; at++) {
		const char *a = at, *k = key;

		if (at != line && at[-1] != ' ')
			continue;
		while (*k && *a == *k) {
			a++;
			k++;
		}
		if (*k == 0 && *a == '=')
			return a + 1;
	}
	return NULL;
}

const char *command_word(const char *key, char *out, size_t bytes)
{
	const char *from = find(glue_boot->command, key);
	size_t i = 0;

	for (; from && i < bytes - 1 && from[i] && from[i] != ' '; i++)
		out[i] = from[i];
	out[i] = 0;
	return out;
}

uint64_t command_number(const char *key, uint64_t otherwise)
{
	char word[24];
	uint64_t n = 0;

	command_word(key, word, sizeof(word));
	if (!word[0])
		return otherwise;
	for (const char *c = word; *c; c++) {
		if (*c < '0' || *c > '9')
			glue_panic("%s=%s is no number", key, word);
		n = n * 10 + (uint64_t)(*c - '0');
	}
	return n;
}
