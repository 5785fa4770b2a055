/// The page-table formats, as constant data. What a bit means stands in the
/// manuals; here stands only which bits we use, and why those.
///
/// Invariants, which the walker relies on:
///   I1  An all-zero entry is empty.
///   I2  A leaf with KMM_PROT_NONE has `valid` clear and `hidden` set, and still
///       passes the leaf test of its level.
///   I3  prot_user[p] and prot_kernel[p] hold `valid` for p != 0 and `hidden`
///       for p == 0; W together with X is 0, that is: refused.
///   I4  Leaf levels are 0..n without a gap, so that a split finds its children.
///   I5  The kernel half begins at -user_end.
///
/// Limits: no global pages on x86_64 (kernel leaves are dropped with the rest
/// when a root is loaded); one memory type, normal write-back; hidden entries
/// keep their frame number with the present bit clear, so CPUs with L1TF would
/// leak: not considered.
#include <kmm/pt.h>

#define BIT(n) (1ull << (n))

/* Intel SDM vol. 3, 4.5 "4-level paging", tables 4-15 to 4-20. */
#define X86_P BIT(0)       /* present */
#define X86_RW BIT(1)      /* writes allowed */
#define X86_US BIT(2)      /* user-mode accesses allowed; needed at every level */
#define X86_A BIT(5)       /* accessed */
#define X86_D BIT(6)       /* dirty; leaves only */
#define X86_PS BIT(7)      /* page size: a leaf at levels 1 and 2 (2 MiB, 1 GiB) */
#define X86_HIDDEN BIT(9)  /* bits 11:9 ignored when present; all are when not: 4.5.5 */
#define X86_XD BIT(63)     /* execute-disable, with IA32_EFER.NXE = 1: 4.6 */
#define X86_ADDR 0x000ffffffffff000ull /* bits 51:12 */

const struct kmm_pt_format kmm_pt_format_x86_64 = {
	.name = "x86_64",
	.levels = 4,
	.index_lg2 = 9,
	.leaf_levels = 0x7,
	.tlb_broadcast = false,
	.valid_needs_no_flush = true,   /* 4.10.4.3: present 0 -> 1 */
	.upgrade_needs_no_flush = true, /* 4.10.4.3: R/W 0 -> 1, XD 1 -> 0 */
	.size_change_breaks = false,    /* 4.10.4.3: either size may be used till the flush */
	.shared_root = true,
	.addr_mask = X86_ADDR,
	.valid = X86_P,
	.table_bits = X86_P | X86_RW | X86_US,
	.leaf_bits = { 0, X86_PS, X86_PS, 0, 0 },
	.leaf_test = { 0, X86_PS, X86_PS, 0, 0 },
	.leaf_is = { 0, X86_PS, X86_PS, BIT(0), BIT(0) }, /* never equal: no leaf there */
	.prot_mask = X86_P | X86_RW | X86_US | X86_XD | X86_HIDDEN,
	.prot_user = {
		[KMM_PROT_NONE] = X86_HIDDEN | X86_US | X86_XD,
		[KMM_PROT_R] = X86_P | X86_US | X86_XD,
		[KMM_PROT_W] = X86_P | X86_RW | X86_US | X86_XD,
		[KMM_PROT_R | KMM_PROT_W] = X86_P | X86_RW | X86_US | X86_XD,
		[KMM_PROT_X] = X86_P | X86_US,
		[KMM_PROT_R | KMM_PROT_X] = X86_P | X86_US,
	},
	.prot_kernel = {
		[KMM_PROT_NONE] = X86_HIDDEN | X86_XD,
		[KMM_PROT_R] = X86_P | X86_XD,
		[KMM_PROT_W] = X86_P | X86_RW | X86_XD,
		[KMM_PROT_R | KMM_PROT_W] = X86_P | X86_RW | X86_XD,
		[KMM_PROT_X] = X86_P,
		[KMM_PROT_R | KMM_PROT_X] = X86_P,
	},
	.write_set = X86_RW,
	.write_clear = 0,
	.exec_clear_user = X86_XD,
	.exec_clear_kernel = X86_XD,
	.user_set = X86_US,
	.hidden = X86_HIDDEN,
	.accessed = X86_A,
	.dirty = X86_D,
	.user_end = BIT(47), /* 4.5.2: canonical addresses */
};

/* Arm ARM (DDI 0487), D8.3.1 "VMSAv8-64 descriptor formats", D8.4 "memory access
 * control", D8.5 "memory region attributes". Our level l is Arm's level 3 - l. */
#define ARM_VALID BIT(0)
#define ARM_TABLE_OR_PAGE BIT(1) /* 11: table, or page at the last level; 01: block */
/* AttrIndx, bits 4:2 = 0: MAIR index 0 is normal write-back */
#define ARM_AP1 BIT(6)           /* AP[1]: EL0 may access */
#define ARM_AP2 BIT(7)           /* AP[2]: read-only */
#define ARM_SH (3ull << 8)       /* inner shareable */
#define ARM_AF BIT(10)           /* access flag, set by us: the hardware's update is off */
#define ARM_NG BIT(11)           /* not global */
#define ARM_PXN BIT(53)          /* EL1 may not fetch */
#define ARM_UXN BIT(54)          /* EL0 may not fetch */
#define ARM_HIDDEN BIT(55)       /* bits 58:55 are for software */
#define ARM_ADDR 0x0000fffffffff000ull /* bits 47:12 */

#define ARM_LEAF (ARM_AF | ARM_SH)
#define ARM_USER (ARM_AP1 | ARM_PXN | ARM_NG) /* EL1 never fetches a user page */
#define ARM_KERNEL (ARM_UXN)                  /* nor EL0 a kernel page */

const struct kmm_pt_format kmm_pt_format_aarch64 = {
	.name = "aarch64",
	.levels = 4,
	.index_lg2 = 9,
	.leaf_levels = 0x7,
	.tlb_broadcast = true,           /* TLBI ...IS, D8.17 "TLB maintenance" */
	.valid_needs_no_flush = true,    /* D8.17: entries that fault are never cached */
	.upgrade_needs_no_flush = false, /* D8.17: permissions may be cached */
	.size_change_breaks = true,      /* D8.17 break-before-make; no FEAT_BBM */
	.shared_root = false,            /* TTBR0 has the user half, TTBR1 the kernel's */
	.addr_mask = ARM_ADDR,
	.valid = ARM_VALID,
	.table_bits = ARM_VALID | ARM_TABLE_OR_PAGE,
	.leaf_bits = { ARM_LEAF | ARM_TABLE_OR_PAGE, ARM_LEAF, ARM_LEAF, 0, 0 },
	.leaf_test = { 0, ARM_TABLE_OR_PAGE, ARM_TABLE_OR_PAGE, 0, 0 },
	.leaf_is = { 0, 0, 0, BIT(0), BIT(0) }, /* levels 3, 4 never equal: no leaf there */
	.prot_mask = ARM_VALID | ARM_AP1 | ARM_AP2 | ARM_PXN | ARM_UXN | ARM_HIDDEN,
	.prot_user = {
		[KMM_PROT_NONE] = ARM_HIDDEN | ARM_USER | ARM_AP2 | ARM_UXN,
		[KMM_PROT_R] = ARM_VALID | ARM_USER | ARM_AP2 | ARM_UXN,
		[KMM_PROT_W] = ARM_VALID | ARM_USER | ARM_UXN,
		[KMM_PROT_R | KMM_PROT_W] = ARM_VALID | ARM_USER | ARM_UXN,
		[KMM_PROT_X] = ARM_VALID | ARM_USER | ARM_AP2,
		[KMM_PROT_R | KMM_PROT_X] = ARM_VALID | ARM_USER | ARM_AP2,
	},
	.prot_kernel = {
		[KMM_PROT_NONE] = ARM_HIDDEN | ARM_KERNEL | ARM_AP2 | ARM_PXN,
		[KMM_PROT_R] = ARM_VALID | ARM_KERNEL | ARM_AP2 | ARM_PXN,
		[KMM_PROT_W] = ARM_VALID | ARM_KERNEL | ARM_PXN,
		[KMM_PROT_R | KMM_PROT_W] = ARM_VALID | ARM_KERNEL | ARM_PXN,
		[KMM_PROT_X] = ARM_VALID | ARM_KERNEL | ARM_AP2,
		[KMM_PROT_R | KMM_PROT_X] = ARM_VALID | ARM_KERNEL | ARM_AP2,
	},
	.write_set = 0,
	.write_clear = ARM_AP2,
	.exec_clear_user = ARM_UXN,
	.exec_clear_kernel = ARM_PXN,
	.user_set = ARM_AP1,
	.hidden = ARM_HIDDEN,
	.accessed = 0,
	.dirty = 0,
	.user_end = BIT(48), /* D8.2: TCR_EL1.T0SZ = T1SZ = 16 */
};

static const struct kmm_pt_format *const formats[] = {
	&kmm_pt_format_x86_64,
	&kmm_pt_format_aarch64,
};

const struct kmm_pt_format *kmm_pt_format_at(unsigned i)
{
	return i < sizeof(formats) / sizeof(formats[0]) ? formats[i] : NULL;
}

static bool same_name(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const struct kmm_pt_format *kmm_pt_format_find(const char *name)
{
	for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (same_name(formats[i]->name, name))
			return formats[i];
	return NULL;
}
