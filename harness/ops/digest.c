/* The digest and the page contents it folds.
 *
 * Fold: d' = (d ^ word) * 0x100000001b3, then d' ^ (d' >> 32). Each step is a
 * bijection of d for a fixed word and of the word for a fixed d, so that one
 * changed bit always changes the result; order counts, since the product does not
 * commute with the xor.
 *
 * Sources: FNV-1a's prime and offset basis; the finaliser of SplitMix64 (Steele,
 * Lea, Flood 2014) for stamps.
 */
#include "ops/ops.h"

#define FOLD_PRIME 0x100000001b3ull

const uint16_t ops_stamp_offset[OPS_STAMPS] = { 0, 1352, 2744, 4088 };

uint64_t ops_fold(uint64_t digest, uint64_t word)
{
	uint64_t d = (digest ^ word) * FOLD_PRIME;

	return d ^ (d >> 32);
}

uint64_t ops_fold_outcome(uint64_t digest, uint32_t index, const struct op *op,
			  const struct op_outcome *out)
{
	uint64_t d = digest;

	d = ops_fold(d, index | (uint64_t)op->code << 32 | (uint64_t)out->result << 40);
	d = ops_fold(d, op->arg[0] | (uint64_t)op->arg[1] << 16 | (uint64_t)op->arg[2] << 32 |
				(uint64_t)op->arg[3] << 48);
	d = ops_fold(d, op->arg[4]);
	return ops_fold(d, out->value);
}

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* Odd, so that no stamp looks like a page never written. */
uint64_t ops_stamp(unsigned pattern, unsigned window, unsigned page, unsigned i)
{
	return mix((uint64_t)pattern << 24 | window << 16 | page << 8 | i) | 1;
}

/* Volatile: another process's or CPU's tables may stand behind the address, and a
 * body may refuse any single access. */
uint64_t ops_page_fold(uint64_t digest, const void *page_at)
{
	for (unsigned i = 0; i < OPS_STAMPS; i++) {
		const volatile char *at = (const volatile char *)page_at + ops_stamp_offset[i];

		digest = ops_fold(digest, *(const volatile uint64_t *)at);
	}
	return digest;
}

void ops_page_fill(void *page_at, unsigned pattern, unsigned window, unsigned page)
{
	for (unsigned i = 0; i < OPS_STAMPS; i++) {
		volatile char *at = (volatile char *)page_at + ops_stamp_offset[i];

		*(volatile uint64_t *)at = ops_stamp(pattern, window, page, i);
	}
}

uint64_t ops_refused_read(uint64_t digest, unsigned page)
{
	return (digest & ~0xffull) | page;
}

/* A block's marks: one word per stride from its start, and every byte of its tail,
 * where a neighbour's underrun and the owner's overrun show first. */
#define BLOCK_TAIL 24u

static uint64_t block_word(uint64_t key, uint64_t at)
{
	return mix(key ^ at << 8);
}

static uint64_t block_tail(uint64_t bytes)
{
	return bytes > BLOCK_TAIL ? bytes - BLOCK_TAIL : 0;
}

void ops_block_fill(void *at, uint64_t bytes, uint64_t key)
{
	volatile unsigned char *b = at;
	uint64_t tail = block_tail(bytes);

	for (uint64_t i = 0; i + 8 <= tail; i += OPS_BLOCK_STRIDE)
		*(volatile uint64_t *)(volatile void *)(b + i) = block_word(key, i);
	for (uint64_t i = tail; i < bytes; i++)
		b[i] = (unsigned char)block_word(key, i);
}

bool ops_block_intact(const void *at, uint64_t bytes, uint64_t key)
{
	const volatile unsigned char *b = at;
	uint64_t tail = block_tail(bytes);

	for (uint64_t i = 0; i + 8 <= tail; i += OPS_BLOCK_STRIDE)
		if (*(const volatile uint64_t *)(const volatile void *)(b + i) != block_word(key, i))
			return false;
	for (uint64_t i = tail; i < bytes; i++)
		if (b[i] != (unsigned char)block_word(key, i))
			return false;
	return true;
}
