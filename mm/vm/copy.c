/// The kernel's access to a space's memory, page by page through the direct map.
///
/// The space's lock is held over each page's copy: the frame can't be replaced
/// or freed under it, and the interrupts it keeps off are off for 4 KiB at most.
/// A write faults first like a user's write would, so that a shared frame is
/// never written.
#include "vm/space.h"

/// Bytes from va to the end of its page, but at most `bytes`.
static size_t piece(uint64_t va, size_t bytes)
{
	size_t left = (size_t)(KMM_PAGE_BYTES - (va & (KMM_PAGE_BYTES - 1u)));

	return bytes < left ? bytes : left;
}

static bool copy_piece(struct kmm_space *s, uint64_t va, void *to, const void *from, size_t n,
		       enum kmm_access access)
{
	struct kmm_pfn pfn;
	unsigned long was = lock_acquire(s->kmm, &s->lock);
	bool ok = fault_resolve_locked(s, va, access, &pfn, NULL) == KMM_FAULT_RESOLVED;

	if (ok) {
		char *page = (char *)kmm_frame_virt(s->kmm, pfn) + (va & (KMM_PAGE_BYTES - 1u));

		if (access == KMM_ACCESS_WRITE)
			kmm_port_copy(page, from, n);
		else
			kmm_port_copy(to, page, n);
	}
	lock_release(s->kmm, &s->lock, was);
	return ok;
}

size_t kmm_space_read(struct kmm_space *s, struct kmm_va from, void *to, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		size_t n = piece(from.a + done, bytes - done);

		if (!copy_piece(s, from.a + done, (char *)to + done, NULL, n, KMM_ACCESS_READ))
			break;
		done += n;
	}
	return done;
}

size_t kmm_space_write(struct kmm_space *s, struct kmm_va to, const void *from, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		size_t n = piece(to.a + done, bytes - done);

		if (!copy_piece(s, to.a + done, NULL, (const char *)from + done, n,
				KMM_ACCESS_WRITE))
			break;
		done += n;
	}
	return done;
}
