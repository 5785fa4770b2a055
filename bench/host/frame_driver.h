/* The steps of all loads, compiled once a back end: BACK(name) gives the names, and
 * BACK(get), BACK(put), BACK(get_batch) and BACK(put_batch) exist already. No guard: it
 * is included several times on purpose. */

static uint64_t BACK(gets_of)(struct frame_thread *t, uint64_t n, unsigned order)
{
	uint32_t *at = t->held + t->held_n;
	uint64_t i = 0;

	if (n > t->room - t->held_n)
		n = t->room - t->held_n;
	while (i < n && BACK(get)(t, order, &at[i]))
		i++;
	t->full = i < n;
	t->held_n += i;
	return i;
}

/// Gets frames on top of those held; sets full where there are no more.
static uint64_t BACK(gets)(struct frame_thread *t, uint64_t n)
{
	return t->order == 0 ? BACK(gets_of)(t, n, 0) : BACK(gets_of)(t, n, t->order);
}

static inline uint64_t BACK(puts_of)(struct frame_thread *t, uint64_t n, unsigned order)
{
	const uint32_t *end = t->held + t->held_n;

	if (n > t->held_n - t->base_n)
		n = t->held_n - t->base_n;
	for (uint64_t i = 0; i < n; i++) {
		if (!BACK(put)(t, *--end, order)) {
			t->failed = "put";
			break;
		}
	}
	t->held_n = (uint64_t)(end - t->held);
	return n;
}

/// Puts the frames above base_n, last in first out.
static uint64_t BACK(puts)(struct frame_thread *t, uint64_t n)
{
	return t->order == 0 ? BACK(puts_of)(t, n, 0) : BACK(puts_of)(t, n, t->order);
}

/// Gets 2 MiB blocks that are kept.
static uint64_t BACK(blocks)(struct frame_thread *t, uint64_t n)
{
	uint64_t i = 0;

	while (i < n && BACK(get)(t, BLOCK_LG2, &t->block[t->block_n])) {
		t->block_n++;
		i++;
	}
	t->full = i < n;
	return i;
}

static inline uint64_t BACK(repeat_of)(struct frame_thread *t, uint64_t n, unsigned order)
{
	uint32_t f;

	for (uint64_t i = 0; i < n; i++) {
		if (!BACK(get)(t, order, &f) || !BACK(put)(t, f, order)) {
			t->failed = "get and put";
			return i;
		}
	}
	return n;
}

static uint64_t BACK(repeat)(struct frame_thread *t, uint64_t n)
{
	return t->order == 0 ? BACK(repeat_of)(t, n, 0) : BACK(repeat_of)(t, n, BLOCK_LG2);
}

/// Puts a random frame and gets one. The driver's state stays in registers.
static inline uint64_t BACK(churn_of)(struct frame_thread *t, uint64_t n, unsigned order)
{
	uint32_t *held = t->held;
	uint64_t seed = t->seed, held_n = t->held_n, i = 0;

	for (; i < n; i++) {
		uint32_t *f = &held[random_below(&seed, held_n)];

		if (!BACK(put)(t, *f, order) || !BACK(get)(t, order, f)) {
			t->failed = "put and get";
			break;
		}
	}
	t->seed = seed;
	return i;
}

static uint64_t BACK(churn)(struct frame_thread *t, uint64_t n)
{
	return t->order == 0 ? BACK(churn_of)(t, n, 0) : BACK(churn_of)(t, n, BLOCK_LG2);
}

/// The same, each get timed on its own.
static uint64_t BACK(churn_timed)(struct frame_thread *t, uint64_t n)
{
	double scale = measure_ns_per_tick();

	for (uint64_t i = 0; i < n; i++) {
		uint32_t *f = &t->held[random_below(&t->seed, t->held_n)];
		uint64_t ticks;
		bool good = BACK(put)(t, *f, t->order);

		ticks = clock_ticks();
		good = BACK(get)(t, t->order, f) && good;
		ticks = clock_ticks() - ticks;
		if (!good) {
			t->failed = "put and get";
			return i;
		}
		hist_add(&t->hist, (uint64_t)((double)ticks * scale));
	}
	return n;
}

/// Puts k frames that follow each other in a shuffled array and gets k, k uniform in
/// 1..1024. n counts pairs; the last burst may go beyond.
static uint64_t BACK(burst)(struct frame_thread *t, uint64_t n)
{
	uint64_t done = 0;

	while (done < n && !t->failed) {
		uint64_t k = random_below(&t->seed, 1024) + 1u;
		uint32_t *at = t->held + random_below(&t->seed, t->held_n - k + 1u);

		for (uint64_t i = 0; i < k; i++)
			if (!BACK(put)(t, at[i], 0))
				t->failed = "put of a burst";
		for (uint64_t i = 0; i < k; i++)
			if (!BACK(get)(t, 0, &at[i]))
				t->failed = "get of a burst";
		done += k;
	}
	return done;
}

/// A block of random order, 80 % single frames; index of its first frame and its order
/// in one word. Larger ones that aren't to be had are counted and become single.
static inline uint32_t BACK(mixed_get)(struct frame_thread *t)
{
	static const uint8_t order_of[20] = { [16] = 1, [17] = 2, [18] = 3, [19] = BLOCK_LG2 };
	unsigned order = order_of[random_below(&t->seed, 20)];
	uint32_t f = 0;

	if (!BACK(get)(t, order, &f)) {
		t->misses_n++;
		order = 0;
		if (!BACK(get)(t, 0, &f))
			t->failed = "get of a frame at half load";
	}
	t->frames_held += 1ull << order;
	return (uint32_t)(f - (FRAME_BASE >> KMM_PAGE_LG2)) << 4 | order;
}

/// Until n frames are held.
static uint64_t BACK(mixed_fill)(struct frame_thread *t, uint64_t n)
{
	uint64_t until = t->frames_held + n;

	while (t->frames_held < until && t->held_n < t->room && !t->failed)
		t->held[t->held_n++] = BACK(mixed_get)(t);
	return n;
}

static uint64_t BACK(mixed)(struct frame_thread *t, uint64_t n)
{
	for (uint64_t i = 0; i < n && !t->failed; i++) {
		uint32_t *f = &t->held[random_below(&t->seed, t->held_n)];
		unsigned order = *f & 15u;

		if (!BACK(put)(t, (uint32_t)((*f >> 4) + (FRAME_BASE >> KMM_PAGE_LG2)), order))
			t->failed = "put of a block";
		t->frames_held -= 1ull << order;
		*f = BACK(mixed_get)(t);
	}
	return n;
}

/// Gets that must fail.
static uint64_t BACK(failed)(struct frame_thread *t, uint64_t n)
{
	uint32_t f;

	for (uint64_t i = 0; i < n; i++) {
		if (BACK(get)(t, 0, &f)) {
			t->failed = "a get that had to fail (it found a frame)";
			return i;
		}
	}
	return n;
}

static uint64_t BACK(batch_gets)(struct frame_thread *t, uint64_t n)
{
	uint64_t done = 0;

	if (n > t->room - t->held_n)
		n = t->room - t->held_n;
	while (done < n) {
		unsigned want = n - done < BATCH_N ? (unsigned)(n - done) : BATCH_N;
		unsigned got = BACK(get_batch)(t, want, t->pfn + t->held_n);

		t->held_n += got;
		done += got;
		if (got < want) {
			t->full = true;
			break;
		}
	}
	return done;
}

static uint64_t BACK(batch_puts)(struct frame_thread *t, uint64_t n)
{
	uint64_t done = 0;

	if (n > t->held_n - t->base_n)
		n = t->held_n - t->base_n;
	while (done < n && !t->failed) {
		unsigned part = n - done < BATCH_N ? (unsigned)(n - done) : BATCH_N;

		t->held_n -= part;
		if (!BACK(put_batch)(t, part, t->pfn + t->held_n))
			t->failed = "put of a batch";
		done += part;
	}
	return done;
}

const struct frame_backend BACK_TABLE = {
	BACK_NAME, BACK(gets), BACK(puts), BACK(blocks), BACK(repeat), BACK(churn),
	BACK(churn_timed), BACK(burst), BACK(mixed_fill), BACK(mixed), BACK(failed),
	BACK(batch_gets), BACK(batch_puts)
};
