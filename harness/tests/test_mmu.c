/// The table walker against hand-made tables of both formats.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "machine/mmu.h"

#define FRAMES 16u
#define FIRST 0x143213ull
#define VA 0x12345678000ull

static char bytes[FRAMES][4096] __attribute__((aligned(4096)));

static struct mmu_memory memory(enum mmu_arch arch)
{
	struct mmu_memory m = { bytes[0], FIRST, FRAMES, arch };

	memset(bytes, 0, sizeof(bytes));
	return m;
}

static uint64_t *slot(unsigned frame, unsigned level)
{
	uint64_t i = VA >> (12 + 9 * level) & 511;

	return (uint64_t *)(void *)bytes[frame] + i;
}

/* Frames 0..3 are the tables of levels 3..0; frame 7 is the page. */
static void link_tables(uint64_t table_bits, unsigned down_to)
{
	for (unsigned i = 0; i < 3u - down_to; i++)
		*slot(i, 3 - i) = (FIRST + i + 1) << 12 | table_bits;
}

static struct mmu_walk walk(const struct mmu_memory *m)
{
	struct mmu_from from = { .table = FIRST, .level = 3, .perms = MMU_RWX };
	struct mmu_walk w;

	mmu_walk(m, &from, VA, &w);
	return w;
}

#define X86_TABLE 7ull
#define X86_PAGE ((FIRST + 7) << 12)
#define X86_NX (1ull << 63)

static void mmu_x86_page_translates(void **state)
{
	struct mmu_memory m = memory(MMU_X86_64);
	struct mmu_walk w;

	(void)state;
	link_tables(X86_TABLE, 0);
	*slot(3, 0) = X86_PAGE | 7 | X86_NX;
	w = walk(&m);
	assert_int_equal(w.status, MMU_OK);
	assert_int_equal(w.pfn, FIRST + 7);
	assert_int_equal(w.perms, MMU_R | MMU_W);
	assert_int_equal(w.level, 0);
	assert_int_equal(w.table[0], FIRST + 3);
	assert_int_equal(w.source[0], ((FIRST + 3) << 12) + (VA >> 12 & 511) * 8);
	assert_false(w.dirty);
}

static void mmu_x86_upper_level_without_user_refuses(void **state)
{
	struct mmu_memory m = memory(MMU_X86_64);

	(void)state;
	link_tables(X86_TABLE, 0);
	*slot(3, 0) = X86_PAGE | 7;
	*slot(1, 2) &= ~4ull;
	assert_int_equal(walk(&m).perms, 0);
}

static void mmu_x86_upper_level_takes_write_and_execute(void **state)
{
	struct mmu_memory m = memory(MMU_X86_64);

	(void)state;
	link_tables(X86_TABLE, 0);
	*slot(3, 0) = X86_PAGE | 7;
	assert_int_equal(walk(&m).perms, MMU_RWX);
	*slot(0, 3) &= ~2ull;
	assert_int_equal(walk(&m).perms, MMU_R | MMU_X);
	*slot(2, 1) |= X86_NX;
	assert_int_equal(walk(&m).perms, MMU_R);
}

static void mmu_x86_large_leaf_keeps_pat_out_of_the_address(void **state)
{
	struct mmu_memory m = memory(MMU_X86_64);
	struct mmu_walk w;

	(void)state;
	link_tables(X86_TABLE, 1);
	*slot(2, 1) = 0x40000000ull | 1ull << 12 | 0x87;
	w = walk(&m);
	assert_int_equal(w.status, MMU_OK);
	assert_int_equal(w.level, 1);
	assert_int_equal(w.pfn, 0x40000);
	*slot(2, 1) |= 1ull << 13;
	assert_int_equal(walk(&m).status, MMU_BAD);
}

static void mmu_x86_page_size_in_the_root_is_reserved(void **state)
{
	struct mmu_memory m = memory(MMU_X86_64);

	(void)state;
	link_tables(X86_TABLE, 0);
	*slot(0, 3) |= 0x80;
	assert_int_equal(walk(&m).status, MMU_BAD);
}

static void mmu_x86_mark_sets_accessed_on_the_path_and_dirty_on_the_leaf(void **state)
{
	struct mmu_memory m = memory(MMU_X86_64);
	struct mmu_walk w;

	(void)state;
	link_tables(X86_TABLE, 0);
	*slot(3, 0) = X86_PAGE | 7;
	w = walk(&m);
	mmu_mark(&m, &w, false);
	for (unsigned level = 0; level < 4; level++)
		assert_int_equal(*slot(3 - level, level) & 0x60, 0x20);
	mmu_mark(&m, &w, true);
	assert_int_equal(*slot(3, 0) & 0x60, 0x60);
	assert_int_equal(*slot(2, 1) & 0x60, 0x20);
	assert_true(walk(&m).dirty);
}

static void mmu_absent_entry_faults_at_its_level(void **state)
{
	struct mmu_memory m = memory(MMU_X86_64);
	struct mmu_walk w;

	(void)state;
	link_tables(X86_TABLE, 1);
	w = walk(&m);
	assert_int_equal(w.status, MMU_FAULT);
	assert_int_equal(w.level, 1);
	*slot(2, 1) = 0x200;
	assert_int_equal(mmu_decode(MMU_X86_64, 1, *slot(2, 1)).kind, MMU_INVALID);
	assert_int_equal(walk(&m).status, MMU_FAULT);
}

static void mmu_table_outside_memory_is_bad(void **state)
{
	struct mmu_memory m = memory(MMU_X86_64);

	(void)state;
	link_tables(X86_TABLE, 0);
	*slot(1, 2) = (FIRST + FRAMES) << 12 | X86_TABLE;
	assert_int_equal(walk(&m).status, MMU_BAD);
}

static void mmu_address_beyond_the_user_half_faults(void **state)
{
	struct mmu_memory m = memory(MMU_X86_64);
	struct mmu_from from = { .table = FIRST, .level = 3, .perms = MMU_RWX };
	struct mmu_walk w;

	(void)state;
	mmu_walk(&m, &from, 1ull << 47, &w);
	assert_int_equal(w.status, MMU_FAULT);
	assert_int_equal(w.level, 3);
}

#define ARM_TABLE 3ull
#define ARM_LEAF ((FIRST + 7) << 12 | 3ull | 1ull << 10 | 1ull << 11 | 1ull << 6)
#define ARM_UXN (1ull << 54)

static void mmu_arm_page_translates(void **state)
{
	struct mmu_memory m = memory(MMU_AARCH64);
	struct mmu_walk w;

	(void)state;
	link_tables(ARM_TABLE, 0);
	*slot(3, 0) = ARM_LEAF | ARM_UXN;
	w = walk(&m);
	assert_int_equal(w.status, MMU_OK);
	assert_int_equal(w.pfn, FIRST + 7);
	assert_int_equal(w.perms, MMU_R | MMU_W);
	assert_false(w.global);
	*slot(3, 0) |= 1ull << 7;
	assert_int_equal(walk(&m).perms, MMU_R);
	*slot(3, 0) &= ~ARM_UXN;
	assert_int_equal(walk(&m).perms, MMU_R | MMU_X);
}

static void mmu_arm_clear_access_flag_faults(void **state)
{
	struct mmu_memory m = memory(MMU_AARCH64);

	(void)state;
	link_tables(ARM_TABLE, 0);
	*slot(3, 0) = ARM_LEAF & ~(1ull << 10);
	assert_int_equal(walk(&m).status, MMU_FAULT);
}

static void mmu_arm_table_attributes_restrict(void **state)
{
	struct mmu_memory m = memory(MMU_AARCH64);

	(void)state;
	link_tables(ARM_TABLE, 0);
	*slot(3, 0) = ARM_LEAF;
	*slot(1, 2) |= 1ull << 62;
	assert_int_equal(walk(&m).perms, MMU_R | MMU_X);
	*slot(0, 3) |= 1ull << 60;
	assert_int_equal(walk(&m).perms, MMU_R);
	*slot(2, 1) |= 1ull << 61;
	assert_int_equal(walk(&m).perms, 0);
}

static void mmu_arm_block_only_above_the_last_level(void **state)
{
	struct mmu_memory m = memory(MMU_AARCH64);

	(void)state;
	link_tables(ARM_TABLE, 1);
	*slot(2, 1) = 0x40000000ull | 1ull | 1ull << 10 | 1ull << 6 | 1ull << 11;
	assert_int_equal(walk(&m).status, MMU_OK);
	assert_int_equal(walk(&m).level, 1);
	link_tables(ARM_TABLE, 0);
	*slot(3, 0) = ARM_LEAF & ~2ull;
	assert_int_equal(walk(&m).status, MMU_BAD);
	*slot(0, 3) = ARM_LEAF & ~2ull;
	assert_int_equal(walk(&m).status, MMU_BAD);
}

static void mmu_arm_page_without_not_global_is_global(void **state)
{
	(void)state;
	assert_true(mmu_decode(MMU_AARCH64, 0, ARM_LEAF & ~(1ull << 11)).global);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mmu_x86_page_translates),
		cmocka_unit_test(mmu_x86_upper_level_without_user_refuses),
		cmocka_unit_test(mmu_x86_upper_level_takes_write_and_execute),
		cmocka_unit_test(mmu_x86_large_leaf_keeps_pat_out_of_the_address),
		cmocka_unit_test(mmu_x86_page_size_in_the_root_is_reserved),
		cmocka_unit_test(mmu_x86_mark_sets_accessed_on_the_path_and_dirty_on_the_leaf),
		cmocka_unit_test(mmu_absent_entry_faults_at_its_level),
		cmocka_unit_test(mmu_table_outside_memory_is_bad),
		cmocka_unit_test(mmu_address_beyond_the_user_half_faults),
		cmocka_unit_test(mmu_arm_page_translates),
		cmocka_unit_test(mmu_arm_clear_access_flag_faults),
		cmocka_unit_test(mmu_arm_table_attributes_restrict),
		cmocka_unit_test(mmu_arm_block_only_above_the_last_level),
		cmocka_unit_test(mmu_arm_page_without_not_global_is_global),
	};

	return cmocka_run_group_tests_name("mmu", tests, NULL, NULL);
}
