/// User operations: one player process a space, each with a seat where the
/// dispatcher leaves an order and finds the reply.
///
/// I1  seat_lock guards the seats. A seat's player is blocked in player_next
///     whenever its state is not ORDERED.
/// I2  A player's thread is moved only while it is blocked there.
/// Players are detached: an exit frees them, their kernel stack last of all. The dispatcher
/// waits for that too, since its next operation may look at free memory.
#include "trace.h"

#include "syscall.h"
#include "user/player_abi.h"

enum seat_state { SEAT_EMPTY, SEAT_WAITS, SEAT_ORDERED, SEAT_GONE };

struct seat {
	enum seat_state state;
	struct process *player;
	struct player_order order;
	struct player_reply reply;
	uint64_t placed[OPS_WINDOWS]; /* bases of placed windows; the dispatcher's own */
};

static struct spin seat_lock;
static struct seat seats[OPS_SPACES];
static struct thread *dispatcher;

extern const char player_elf[], player_elf_end[];

/// Blocks until the seat is in one of two states. Lock: held, and again at the end
static unsigned long await_seat(struct seat *s, enum seat_state a, enum seat_state b,
				unsigned long was)
{
	while (s->state != a && s->state != b)
		was = sched_block(&seat_lock, was);
	return was;
}

enum kmm_error trace_user_start(unsigned cpu)
{
	struct process *p;
	unsigned long was;
	enum kmm_error e;

	dispatcher = thread_current();
	e = process_spawn(player_elf, (uint64_t)(player_elf_end - player_elf), "player", NULL, cpu,
			  &p);
	if (e != KMM_OK)
		return e;
	was = spin_lock(&seat_lock);
	was = await_seat(&seats[0], SEAT_WAITS, SEAT_GONE, was);
	spin_unlock(&seat_lock, was);
	return KMM_OK;
}

/* ---- the dispatcher's side ---- */

static void fill_order(struct player_order *o, const struct seat *s, const struct op *op,
		       const struct ops_names *n)
{
	unsigned space = op->arg[0];

	*o = (struct player_order){ .op = *op, .pages = ops_range_pages(n, op) };
	for (unsigned w = 0; w < OPS_WINDOWS; w++) {
		o->window_base[w] = w < OPS_FIXED_WINDOWS ? ops_window_base(w) : s->placed[w];
		o->window_pages[w] = ops_window_pages(n, space, w);
	}
}

/// Leaves the order, waits for the reply. False: the player is gone.
static bool exchange(struct seat *s, const struct player_order *o, unsigned cpu,
		     struct player_reply *reply, enum kmm_error *error)
{
	unsigned long was = spin_lock(&seat_lock);
	bool gone;

	s->order = *o;
	s->state = SEAT_ORDERED;
	s->player->thread.cpu = cpu;
	thread_wake(&s->player->thread);
	was = await_seat(s, SEAT_WAITS, SEAT_GONE, was);
	*reply = s->reply;
	gone = s->state == SEAT_GONE;
	if (!gone)
		*error = s->player->last_error;
	spin_unlock(&seat_lock, was);
	return !gone;
}

static void await_child(unsigned space, const struct seat *parent)
{
	struct seat *s = &seats[space];
	unsigned long was = spin_lock(&seat_lock);

	was = await_seat(s, SEAT_WAITS, SEAT_WAITS, was);
	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		s->placed[w] = parent->placed[w];
	spin_unlock(&seat_lock, was);
}

static void seat_clear(struct seat *s)
{
	unsigned long was = spin_lock(&seat_lock);

	*s = (struct seat){ .state = SEAT_EMPTY };
	spin_unlock(&seat_lock, was);
}

/// Until there are fewer processes than so many.
static void await_burial(unsigned n)
{
	while (process_count() >= n) {
		arch_relax();
		sched_yield();
	}
}

/// A placed window may be anywhere that no fixed window is, whole pages.
static bool placed_well(uint64_t base, unsigned pages)
{
	uint64_t end = base + pages * KMM_PAGE_BYTES;

	if (base < KMM_USER_MIN || base % KMM_PAGE_BYTES || end > GLUE_FORMAT->user_end)
		return false;
	for (unsigned w = 0; w < OPS_FIXED_WINDOWS; w++) {
		uint64_t start = ops_window_base(w);

		if (base < start + OPS_WINDOW_PAGES * KMM_PAGE_BYTES && start < end)
			return false;
	}
	return true;
}

static void follow(struct seat *s, const struct op *op, const struct player_reply *reply,
		   struct op_outcome *out)
{
	if (out->result != RESULT_OK)
		return;
	if (op->code == OP_PLACE) {
		if (!placed_well(reply->value, op->arg[2]))
			out->result = RESULT_ERROR;
		s->placed[OPS_FIXED_WINDOWS + op->arg[1]] = reply->value;
		out->value = 0;
	} else if (op->code == OP_FORK) {
		await_child(op->arg[1], s);
	}
}

void trace_user_perform(const struct op *op, const struct ops_names *n, unsigned cpu,
			struct op_outcome *out)
{
	struct seat *s = &seats[op->arg[0]];
	unsigned players_n = process_count();
	enum kmm_error error = KMM_OK;
	struct player_order order;
	struct player_reply reply;

	fill_order(&order, s, op, n);
	if (!exchange(s, &order, cpu, &reply, &error)) {
		if (op->code != OP_EXIT)
			glue_panic("the player of space %u died", op->arg[0]);
		seat_clear(s);
		await_burial(players_n);
		*out = (struct op_outcome){ .result = RESULT_OK };
		return;
	}
	out->result = reply.result;
	out->value = reply.value;
	if (reply.failed)
		out->result = trace_result_of(error);
	if ((reply.result == RESULT_SEGV || op->code == OP_CHECKPOINT) && error == KMM_ENOMEM)
		out->result = RESULT_NOMEM;
	follow(s, op, &reply, out);
}

/// What a space without a player would show: nothing readable.
static uint64_t unreadable(const struct ops_names *n, unsigned space)
{
	uint64_t digest = OPS_DIGEST_START;

	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		for (unsigned i = 0; i < ops_window_pages(n, space, w); i++)
			digest = ops_fold(digest, OPS_UNREADABLE);
	return digest;
}

void trace_user_contents(const struct ops_names *n, unsigned cpu, struct op_outcome *contents)
{
	uint64_t digest = OPS_DIGEST_START;

	for (uint16_t space = 0; space < OPS_SPACES; space++) {
		struct op op = { .code = OP_CHECKPOINT, .arg = { space } };
		struct op_outcome out = { .value = unreadable(n, space) };

		if (!(n->spaces >> space & 1))
			continue;
		if (seats[space].state != SEAT_EMPTY)
			trace_user_perform(&op, n, cpu, &out);
		digest = ops_fold(digest, space);
		digest = ops_fold(digest, out.value);
		if (out.result != RESULT_OK)
			contents->result = out.result;
	}
	contents->value = contents->result == RESULT_OK ? digest : 0;
}

void trace_user_finish(const struct ops_names *n, unsigned cpu)
{
	for (uint16_t space = 0; space < OPS_SPACES; space++) {
		struct op op = { .code = OP_EXIT, .arg = { space } };
		struct op_outcome out;

		if (seats[space].state != SEAT_EMPTY)
			trace_user_perform(&op, n, cpu, &out);
	}
}

/* ---- the player's side ---- */

void trace_player_gone(const struct process *p)
{
	struct seat *s = &seats[p->trace_seat ? p->trace_seat - 1u : 0];
	unsigned long was;

	if (!dispatcher)
		return;
	if (!p->trace_seat)
		glue_panic("a player died before it took its seat");
	was = spin_lock(&seat_lock);
	s->state = SEAT_GONE;
	s->player = NULL;
	thread_wake(dispatcher);
	spin_unlock(&seat_lock, was);
}

static bool sit_down(struct process *p, unsigned space)
{
	if (seats[space].player)
		return seats[space].player == p;
	process_detach(p);
	p->trace_seat = space + 1;
	seats[space].player = p;
	return true;
}

int64_t sys_player_next(struct process *p, struct trapframe *tf)
{
	uint64_t space = arch_syscall_arg(tf, 0);
	struct kmm_va reply_at = { arch_syscall_arg(tf, 1) };
	struct kmm_va order_at = { arch_syscall_arg(tf, 2) };
	struct player_reply reply = { 0 };
	struct player_order order;
	unsigned long was;

	if (space >= OPS_SPACES || !dispatcher)
		return -EINVAL;
	if (reply_at.a &&
	    kmm_space_read(p->space, reply_at, &reply, sizeof(reply)) != sizeof(reply))
		return -EFAULT;
	was = spin_lock(&seat_lock);
	if (!sit_down(p, (unsigned)space)) {
		spin_unlock(&seat_lock, was);
		return -EPERM;
	}
	seats[space].reply = reply;
	seats[space].state = SEAT_WAITS;
	thread_wake(dispatcher);
	was = await_seat(&seats[space], SEAT_ORDERED, SEAT_ORDERED, was);
	order = seats[space].order;
	spin_unlock(&seat_lock, was);
	p->last_error = KMM_OK;
	if (kmm_space_write(p->space, order_at, &order, sizeof(order)) != sizeof(order))
		return -ENOMEM;
	return 0;
}

int64_t sys_player_recover(struct process *p, struct trapframe *tf)
{
	p->recover_start = arch_syscall_arg(tf, 0);
	p->recover_end = arch_syscall_arg(tf, 1);
	p->recover_to = arch_syscall_arg(tf, 2);
	return 0;
}
