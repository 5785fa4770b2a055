/// mmap, mprotect, munmap, brk: Linux's arguments onto kmm's.
///
/// Narrower than Linux in two ways: memory is anonymous and private only, and
/// write with execute is refused (EACCES).
#include "syscall.h"

#define MAP_PRIVATE 2u
#define MAP_FIXED 16u
#define MAP_ANONYMOUS 32u
#define PROT_ALL 7u

int64_t errno_of(enum kmm_error e)
{
	static const int8_t number[KMM_ERROR_N] = {
		[KMM_ENOMEM] = ENOMEM, [KMM_EINVAL] = EINVAL, [KMM_EEXIST] = 17,
		[KMM_ENOENT] = 2, [KMM_EACCES] = EACCES, [KMM_ELIMIT] = ENOMEM,
		[KMM_EUNSUPPORTED] = ENOSYS, [KMM_EBUSY] = 16, [KMM_EDOUBLEFREE] = EINVAL,
		[KMM_EWRONGORDER] = EINVAL, [KMM_ECORRUPT] = 5,
	};

	return -number[e];
}

int64_t sys_mmap(struct process *p, struct trapframe *tf)
{
	struct kmm_va at = { arch_syscall_arg(tf, 0) };
	uint64_t prot = arch_syscall_arg(tf, 2), flags = arch_syscall_arg(tf, 3);

	if ((flags & (MAP_PRIVATE | MAP_ANONYMOUS)) != (MAP_PRIVATE | MAP_ANONYMOUS) ||
	    prot > PROT_ALL)
		return -EINVAL;
	p->last_error = kmm_space_map(p->space, &at, arch_syscall_arg(tf, 1), (unsigned)prot,
				      flags & MAP_FIXED ? KMM_MAP_FIXED : 0);
	return p->last_error == KMM_OK ? (int64_t)at.a : errno_of(p->last_error);
}

int64_t sys_mprotect(struct process *p, struct trapframe *tf)
{
	struct kmm_va at = { arch_syscall_arg(tf, 0) };
	uint64_t prot = arch_syscall_arg(tf, 2);

	if (prot > PROT_ALL)
		return -EINVAL;
	p->last_error = kmm_space_protect(p->space, at, arch_syscall_arg(tf, 1), (unsigned)prot);
	return errno_of(p->last_error);
}

int64_t sys_munmap(struct process *p, struct trapframe *tf)
{
	struct kmm_va at = { arch_syscall_arg(tf, 0) };

	p->last_error = kmm_space_unmap(p->space, at, arch_syscall_arg(tf, 1));
	return errno_of(p->last_error);
}

/// Linux's brk returns the end in force, moved or not.
int64_t sys_brk(struct process *p, struct trapframe *tf)
{
	struct kmm_va to = { arch_syscall_arg(tf, 0) }, now = { 0 }, ask = { 0 };

	p->last_error = kmm_space_brk(p->space, to, &now);
	if (p->last_error != KMM_OK && kmm_space_brk(p->space, ask, &now) != KMM_OK)
		return 0;
	return (int64_t)now.a;
}
