/// The trace player's user half: one process a space, which asks the kernel for the
/// next operation and performs it by real system calls, loads and stores.
///
/// An access that the kernel refuses lands at access_landing. The probe of a page's
/// first word decides; the other words lie in the same page.
#include "player_abi.h"
#include "sys.h"

int access_load(const void *at);
int access_store(void *at, uint64_t word);
extern const char access_start[], access_end[], access_landing[];

static uint64_t heap;   /* where brk began */
static unsigned space;

static char *page_at(const struct player_order *o, unsigned window, unsigned page)
{
	uint64_t base = window == OPS_HEAP_WINDOW ? heap : o->window_base[window];

	return (char *)(uintptr_t)(base + page * PAGE_BYTES);
}

static void take(struct player_reply *r, int64_t got)
{
	r->failed = got < 0;
	r->result = got < 0 ? RESULT_ERROR : RESULT_OK;
}

static void do_read(const struct player_order *o, struct player_reply *r)
{
	unsigned window = o->op.arg[1], page = o->op.arg[2], end = page + o->pages;
	uint64_t digest = OPS_DIGEST_START;

	for (; page < end; page++) {
		const char *at = page_at(o, window, page);

		if (access_load(at)) {
			r->result = RESULT_SEGV;
			r->value = ops_refused_read(digest, page);
			return;
		}
		digest = ops_page_fold(digest, at);
	}
	r->value = digest;
}

static void do_write(const struct player_order *o, struct player_reply *r)
{
	unsigned window = o->op.arg[1], page = o->op.arg[2], end = page + o->pages;
	unsigned pattern = o->op.arg[4];

	for (; page < end; page++) {
		char *at = page_at(o, window, page);

		if (access_store(at, ops_stamp(pattern, window, page, 0))) {
			r->result = RESULT_SEGV;
			r->value = page;
			return;
		}
		ops_page_fill(at, pattern, window, page);
	}
}

static void do_break(const struct player_order *o, struct player_reply *r)
{
	uint64_t to = heap + o->op.arg[1] * PAGE_BYTES;

	take(r, sys_brk(to) == to ? 0 : -1);
}

static void do_contents(const struct player_order *o, struct player_reply *r)
{
	uint64_t digest = OPS_DIGEST_START;

	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		for (unsigned i = 0; i < o->window_pages[w]; i++) {
			const char *at = page_at(o, w, i);

			digest = access_load(at) ? ops_fold(digest, OPS_UNREADABLE)
						 : ops_page_fold(digest, at);
		}
	r->value = digest;
}

static void do_place(const struct player_order *o, struct player_reply *r)
{
	int64_t got = sys_mmap(NULL, o->pages * PAGE_BYTES, o->op.arg[3]);

	take(r, got);
	r->value = got < 0 ? 0 : (uint64_t)got;
}

/// The child goes on as the player of the new space; true there.
static bool do_fork(const struct player_order *o, struct player_reply *r)
{
	int64_t pid = sys_fork();

	if (pid == 0) {
		space = o->op.arg[1];
		return true;
	}
	take(r, pid);
	return false;
}

/// Returns whether there is no reply to give: this process is new.
static bool perform(const struct player_order *o, struct player_reply *r)
{
	const struct op *op = &o->op;
	uint64_t bytes = o->pages * PAGE_BYTES;

	*r = (struct player_reply){ .result = RESULT_OK };
	switch (op->code) {
	case OP_MAP:
		take(r, sys_mmap(page_at(o, op->arg[1], op->arg[2]), bytes, op->arg[4]));
		break;
	case OP_PLACE:
		do_place(o, r);
		break;
	case OP_UNMAP:
		take(r, sys_munmap(page_at(o, op->arg[1], op->arg[2]), bytes));
		break;
	case OP_PROTECT:
		take(r, sys_mprotect(page_at(o, op->arg[1], op->arg[2]), bytes, op->arg[4]));
		break;
	case OP_BREAK:
		do_break(o, r);
		break;
	case OP_READ:
		do_read(o, r);
		break;
	case OP_WRITE:
		do_write(o, r);
		break;
	case OP_CHECKPOINT:
		do_contents(o, r);
		break;
	case OP_FORK:
		return do_fork(o, r);
	case OP_EXIT:
		sys_exit(0);
	default:
		r->result = RESULT_ERROR;
	}
	return false;
}

static int64_t next(const struct player_reply *reply, struct player_order *order)
{
	return sys_call(NR_player_next, space, (int64_t)(uintptr_t)reply,
			(int64_t)(uintptr_t)order, 0, 0, 0);
}

int main(int argc, char **argv)
{
	struct player_order order;
	struct player_reply reply;
	bool fresh = true;

	(void)argc;
	(void)argv;
	heap = sys_brk(0);
	if (sys_call(NR_player_recover, (int64_t)(uintptr_t)access_start,
		     (int64_t)(uintptr_t)access_end, (int64_t)(uintptr_t)access_landing, 0, 0,
		     0) != 0)
		return verdict("player", "this kernel plays no traces");
	while (next(fresh ? NULL : &reply, &order) == 0)
		fresh = perform(&order, &reply);
	return verdict("player", "the kernel gave no operation");
}
