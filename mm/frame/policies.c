/// The list of frame policies: the one place that knows them all by name.
///
/// It is an array, indexed by the id that a preset's row gives, so that a policy is
/// added here and nowhere else. Whoever calls policies directly (a unit that composes
/// them, a test) names their tables itself (policy.h).
#include "frame/policy.h"

static const struct frame_policy *const policies[KMM_FRAME_POLICY_N] = {
	[KMM_FRAME_BUDDY] = &frame_policy_buddy,
	[KMM_FRAME_BUDDY_SCAN] = &frame_policy_buddy_scan,
	[KMM_FRAME_BITMAP] = &frame_policy_bitmap,
	[KMM_FRAME_BITMAP_FIRST_FIT] = &frame_policy_bitmap_first_fit,
	[KMM_FRAME_HYBRID] = &frame_policy_hybrid,
	[KMM_FRAME_SPLIT] = &frame_policy_split,
	[KMM_FRAME_SPLIT_SLOW] = &frame_policy_split_slow,
	[KMM_FRAME_TREE] = &frame_policy_tree,
};

const struct frame_policy *frame_policy_of(enum kmm_frame_policy_id id)
{
	return (unsigned)id < KMM_FRAME_POLICY_N ? policies[id] : NULL;
}
