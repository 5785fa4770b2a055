/// Paired comparison. Both sides are built beforehand and stay side by side; each round
/// runs a slice of both, A first or B first as the seed's coin falls but balanced over
/// every two rounds, so that a machine that drifts drifts for both. The statistic is the
/// median of ln(tB/tA), printed as a ratio; its interval is that of the exact sign test,
/// which asks nothing of the distribution. The same with A against a second instance of A
/// gives the noise floor: what it shows is no difference.
#include "versus.h"

#include <string.h>

#include "fit.h"

enum { EXIT_REGRESSION = 3, EXIT_FEW = 4 };

/* A change is flagged only beyond all of these. */
#define CHANGE_MIN 0.03
#define FLOOR_TIMES 3.0
#define CHANGE_MIN_NS 0.2

/// The slice's time: of all its parts.
static double slice(struct frame_run *r)
{
	double value[FRAME_PARTS_MAX] = { 0 };

	r->load->slice(r, value);
	if (r->spent && !r->thread[0].failed)
		r->thread[0].failed = "a slice within its limit of time";
	return value[0] + value[1];
}

/// times[0] = B's over A's, times[1] = A's, round by round.
static void rounds_of(struct frame_run *a, struct frame_run *b, unsigned n, uint64_t *seed,
		      double (*times)[VERSUS_ROUNDS_MAX])
{
	bool b_first = false;

	(void)slice(a);
	(void)slice(b);
	for (unsigned i = 0; i < n; i++) {
		double ta, tb;

		b_first = i % 2u == 0 ? random_below(seed, 2) != 0 : !b_first;
		tb = b_first ? slice(b) : 0;
		ta = slice(a);
		tb = b_first ? tb : slice(b);
		times[0][i] = ta > 0 ? tb / ta : 0;
		times[1][i] = ta;
	}
}

/// "versus.", A's figure, and what it is compared with.
static void name_of(char *name, size_t bytes, const struct frame_options *a, const char *suffix)
{
	char figure[96];

	frame_figure(figure, sizeof(figure), a, a->load->name);
	snprintf(name, bytes, "versus.%s.%s", figure, suffix);
}

static void report_result(const struct frame_options *a, const char *suffix, double *ratio,
			  struct versus_result *result)
{
	unsigned low, high, n = result->rounds_n;
	char name[200], bound[220];

	name_of(name, sizeof(name), a, suffix);
	report(name, "ratio", a->variant->name, a->seed, ratio, n, false); /* sorts */
	result->ratio = median_of(ratio, n);
	if (!fit_ranks(n, &low, &high))
		return;
	result->low = ratio[low];
	result->high = ratio[high];
	snprintf(bound, sizeof(bound), "%s.low", name);
	report(bound, "ratio", a->variant->name, a->seed, &result->low, 1, false);
	snprintf(bound, sizeof(bound), "%s.high", name);
	report(bound, "ratio", a->variant->name, a->seed, &result->high, 1, false);
}

static bool pair(const struct frame_options *a, const struct frame_options *b, unsigned rounds,
		 const char *suffix, double injected, struct versus_result *result)
{
	static double times[2][VERSUS_ROUNDS_MAX];
	const char *error = NULL, *wrong_a = NULL, *wrong_b = NULL;
	uint64_t seed = a->seed;
	struct frame_run *ra, *rb;
	char name[200];

	memset(result, 0, sizeof(*result));
	ra = frame_run_start(a, &error);
	rb = ra ? frame_run_start(b, &error) : NULL;
	if (rb) {
		rounds_of(ra, rb, rounds, &seed, times);
		wrong_b = frame_run_stop(rb);
	}
	if (ra)
		wrong_a = frame_run_stop(ra);
	error = error ? error : wrong_a ? wrong_a : wrong_b;
	if (error) {
		name_of(name, sizeof(name), a, suffix);
		report_failed(name, a->variant->name, error);
		return false;
	}
	result->rounds_n = rounds;
	sort_values(times[1], rounds);
	result->a_ns = median_of(times[1], rounds);
	for (unsigned i = 0; i < rounds; i++)
		times[0][i] *= 1 + injected;
	report_result(a, suffix, times[0], result);
	return true;
}

bool versus_pair(const struct frame_options *a, const struct frame_options *b, unsigned rounds,
		 const char *suffix, struct versus_result *result)
{
	return pair(a, b, rounds, suffix, 0, result);
}

double versus_bound(const char *name, const char *variant, const char *which)
{
	char full[200];

	snprintf(full, sizeof(full), "%s.%s", name, which);
	return report_value(full, variant);
}

static void say(const char *label, const struct versus_result *r)
{
	printf("%-16s ratio %.4f, 95 %% interval [%.4f, %.4f], %u rounds\n", label, r->ratio,
	       r->low, r->high, r->rounds_n);
}

/// The verdict's word. `floor` is how far A against itself strays from 1.
static const char *word(const struct versus_result *r, double floor, double a_ns)
{
	double change = r->ratio > 1 ? r->ratio - 1 : 1 / r->ratio - 1;
	double least = CHANGE_MIN > FLOOR_TIMES * floor ? CHANGE_MIN : FLOOR_TIMES * floor;

	if (a_ns > 0 && least < CHANGE_MIN_NS / a_ns)
		least = CHANGE_MIN_NS / a_ns;
	if (change <= least || (r->low <= 1 && r->high >= 1))
		return "not resolved";
	return r->ratio > 1 ? "slower" : "faster";
}

int versus(const struct frame_options *a, const struct versus_options *o)
{
	struct frame_options other = *a;
	struct versus_result same, result;
	char name[96];
	const char *verdict;
	double floor;

	frame_figure(name, sizeof(name), a, a->load->name);
	if (!versus_pair(a, a, o->rounds, "itself", &same))
		return 1;
	other.variant = o->b;
	if (!pair(a, &other, o->rounds, o->b->name, o->injected, &result))
		return 1;
	printf("%s: %s (B) against %s (A), seed %llu, configurations %08x and %08x\n", name,
	       o->b->name, a->variant->name, (unsigned long long)a->seed, variant_hash(o->b),
	       variant_hash(a->variant));
	if (o->rounds < VERSUS_ROUNDS_MIN) {
		printf("  no interval: %u rounds, and below %d there is none at 95 %%\n", o->rounds,
		       VERSUS_ROUNDS_MIN);
		return EXIT_FEW;
	}
	say("  A against A:", &same);
	say("  B against A:", &result);
	floor = same.ratio > 1 ? same.ratio - 1 : 1 / same.ratio - 1;
	verdict = word(&result, floor, result.a_ns);
	printf("  A takes %.2f ns; B is: %s\n", result.a_ns, verdict);
	return o->fail_on_slower && strcmp(verdict, "slower") == 0 ? EXIT_REGRESSION : 0;
}
