/// Options: flags, words and values. Nothing is taken by half: what is not understood ends
/// the program.
#include "options.h"

#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, ROUNDS_MAX = 400 };

_Noreturn void options_usage(const char *wrong)
{
	fprintf(stderr,
		"pagemill-bench: %s\n"
		"usage: pagemill-bench [options]         measuring lines of all that is selected\n"
		"       pagemill-bench --table frames    frames beside LLFree and the targets\n"
		"       pagemill-bench --growth frames   slopes over memory, fill and threads\n"
		"       pagemill-bench --versus A B      variants A and B in alternating slices\n"
		"  --filter PREFIX      figures that begin so\n"
		"  --variant NAME       a preset, or pagemill+POLICY (--preset is the same)\n"
		"  --all                without --variant: pagemill+POLICY too, not only presets\n"
		"  --threads N[,N]      of frame loads: 1, 2 (default 1)\n"
		"  --memory SIZE[,SIZE] of frame loads, simulated: 2m to 1t (default 4g)\n"
		"  --limit SECONDS      wall time of a load's slices (default 1, in tables 3)\n"
		"  --seed N   --rounds N (of --versus)   --fail-on slower (of --versus)\n"
		"  --inject PERCENT     (of --versus) makes B look slower, to try the verdict\n"
		"  --record             with --table, --growth: measuring lines too\n"
		"  --trace FILE         only the replay of this trace\n"
		"  --record-trace FILE  what one frame load asks for, --ops N operations of it\n"
		"  --count              run the one selected bare, for callgrind\n"
		"  --misses kmm|lines   the same for its cache simulation (scripts/misses)\n"
		"  --list               what can be measured\n",
		wrong);
	exit(EXIT_USAGE);
}

static uint64_t number(const char *text, const char **end)
{
	char *behind;
	uint64_t n = strtoull(text, &behind, 0);

	if (behind == text || text[0] == '-')
		options_usage("a number is missing");
	*end = behind;
	return n;
}

static uint64_t whole_number(const char *text)
{
	const char *end;
	uint64_t n = number(text, &end);

	if (*end != '\0')
		options_usage("that is no number");
	return n;
}

/// Frames of "64m", "4g", "1t".
static uint64_t size(const char **at)
{
	uint64_t n = number(*at, at), unit;

	switch (**at) {
	case 'm':
		unit = 1ull << 20;
		break;
	case 'g':
		unit = 1ull << 30;
		break;
	case 't':
		unit = 1ull << 40;
		break;
	default:
		options_usage("a size ends with m, g or t");
	}
	(*at)++;
	/* Frame numbers have 28 bits beside an order; blocks of 2 MiB must fit. */
	if (n == 0 || n > (1ull << 40) / unit || n * unit < 2ull << 20)
		options_usage("memory is from 2m to 1t");
	return n * unit >> KMM_PAGE_LG2;
}

static void take_sizes(struct options *o, const char *text)
{
	o->sizes_given = true;
	for (o->sizes_n = 0; o->sizes_n < OPTION_SIZES_MAX; text++) {
		o->frames_n[o->sizes_n++] = size(&text);
		if (*text == '\0')
			return;
		if (*text != ',')
			break;
	}
	options_usage("sizes are separated by commas, eight at most");
}

static void take_threads(struct options *o, const char *text)
{
	memset(o->threads, 0, sizeof(o->threads));
	for (;; text++) {
		uint64_t n = number(text, &text);

		if (n < 1 || n > FRAME_THREADS_MAX)
			options_usage("threads are 1 or 2");
		o->threads[n - 1] = true;
		if (*text == '\0')
			return;
		if (*text != ',')
			options_usage("numbers of threads are separated by commas");
	}
}

static const struct variant *variant_of(const char *name)
{
	const struct variant *v = variant_find(name);

	if (!v) {
		fprintf(stderr, "pagemill-bench: variants are:");
		for (unsigned i = 0; variant_at(i); i++)
			fprintf(stderr, " %s", variant_at(i)->name);
		fprintf(stderr, "\n");
		options_usage("no such variant");
	}
	return v;
}

static bool take_flag(struct options *o, const char *arg)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = { { "--count", &o->count }, { "--list", &o->list }, { "--record", &o->record },
		      { "--all", &o->all } };

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(arg, flags[i].name) == 0)
			return *flags[i].flag = true;
	return false;
}

static bool take_word(struct options *o, const char *arg, const char *value)
{
	const struct {
		const char *name;
		const char **word;
	} words[] = { { "--filter", &o->filter }, { "--table", &o->table },
		      { "--growth", &o->growth }, { "--trace", &o->trace },
		      { "--record-trace", &o->record_trace },
		      { "--misses", &o->misses } };

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(arg, words[i].name) == 0) {
			*words[i].word = value;
			return true;
		}
	return false;
}

static bool take_value(struct options *o, const char *arg, const char *value)
{
	if (take_word(o, arg, value))
		return true;
	if (!strcmp(arg, "--variant") || !strcmp(arg, "--preset"))
		o->variant = variant_of(value);
	else if (!strcmp(arg, "--seed"))
		o->seed = whole_number(value) | 1u;
	else if (!strcmp(arg, "--rounds"))
		o->rounds = (unsigned)whole_number(value);
	else if (!strcmp(arg, "--inject"))
		o->inject = (unsigned)whole_number(value);
	else if (!strcmp(arg, "--ops"))
		o->ops_n = whole_number(value);
	else if (!strcmp(arg, "--limit"))
		o->limit_ns = whole_number(value) * 1000000000ull;
	else if (!strcmp(arg, "--threads"))
		take_threads(o, value);
	else if (!strcmp(arg, "--memory"))
		take_sizes(o, value);
	else if (!strcmp(arg, "--fail-on") && !strcmp(value, "slower"))
		o->fail_on_slower = true;
	else
		return false;
	return true;
}

struct options options_parse(int argc, char **argv)
{
	struct options o = { .filter = "", .seed = 1, .ops_n = 400, .rounds = 0,
			     .threads = { true }, .frames_n = { FRAMES_4GIB }, .sizes_n = 1 };

	for (int i = 1; i < argc; i++) {
		if (take_flag(&o, argv[i]))
			continue;
		if (!strcmp(argv[i], "--versus") && i + 2 < argc) {
			o.versus[0] = variant_of(argv[++i]);
			o.versus[1] = variant_of(argv[++i]);
		} else if (i + 1 < argc && take_value(&o, argv[i], argv[i + 1])) {
			i++;
		} else {
			options_usage(argv[i]);
		}
	}
	if ((o.table && strcmp(o.table, "frames")) || (o.growth && strcmp(o.growth, "frames")))
		options_usage("the one table and the one growth are: frames");
	if (o.misses && strcmp(o.misses, "kmm") && strcmp(o.misses, "lines"))
		options_usage("--misses is of: kmm, lines");
	if (o.rounds > ROUNDS_MAX)
		options_usage("--rounds is at most 400");
	return o;
}
