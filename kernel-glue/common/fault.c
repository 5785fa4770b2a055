/// Page faults: kmm decides; what it refuses goes to the program's recovery
/// address, or ends the process.
#include "process.h"

static _Noreturn void kill(struct process *p, const struct trapframe *tf, int signal,
			   const char *what, uint64_t detail)
{
	glue_print("process %u killed: %s 0x%llx at pc 0x%llx sp 0x%llx\n", p->pid, what,
		   (unsigned long long)detail, (unsigned long long)arch_user_pc(tf),
		   (unsigned long long)arch_user_sp(tf));
	process_exit(p, signal);
}

/// One exception-table entry a process: a faulting pc within it continues at
/// recover_to.
static bool recover(struct process *p, struct trapframe *tf)
{
	uint64_t pc = arch_user_pc(tf);

	if (pc < p->recover_start || pc >= p->recover_end)
		return false;
	arch_user_set_pc(tf, p->recover_to);
	return true;
}

static const char *const access_text[] = { "read", "write", "fetch" };

void glue_fault(struct trapframe *tf, uint64_t address, enum kmm_access access, bool user)
{
	struct kmm_va at = { address };
	struct process *p;
	enum kmm_fault_result r;

	if (!user)
		glue_panic("kernel %s fault at 0x%llx, pc 0x%llx", access_text[access],
			   (unsigned long long)address, (unsigned long long)arch_user_pc(tf));
	p = process_current();
	r = kmm_space_fault(p->space, at, access);
	if (__builtin_expect(r == KMM_FAULT_RESOLVED, 1))
		return;
	/* A checkpoint is refused at many pages: one for want of memory spoils it. */
	if (p->last_error != KMM_ENOMEM)
		p->last_error = r == KMM_FAULT_OOM ? KMM_ENOMEM : KMM_EACCES;
	if (!recover(p, tf))
		kill(p, tf, SIGSEGV, r == KMM_FAULT_OOM ? "no memory for" : access_text[access],
		     address);
}

_Noreturn void glue_unexpected(struct trapframe *tf, const char *what, uint64_t code)
{
	struct thread *t = thread_current();

	/* The kernel's own addresses all have the top bit set. */
	if (t && t->process && !(arch_user_pc(tf) >> 63)) {
		arch_irq_enable();
		kill(t->process, tf, SIGILL, what, code);
	}
	glue_panic("%s, code 0x%llx, pc 0x%llx", what, (unsigned long long)code,
		   (unsigned long long)arch_user_pc(tf));
}
