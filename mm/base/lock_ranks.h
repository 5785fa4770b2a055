/// Lock ranks, lowest first. A CPU takes locks in rising rank only, two of the
/// same rank never. This list makes the enum, the checker and the table in
/// mm/README.md.
#ifndef KMM_BASE_LOCK_RANKS_H
#define KMM_BASE_LOCK_RANKS_H

#define LOCK_RANKS(X)                                                        \
	X(LOCK_DRAIN, "frame: one drain at a time")                          \
	X(LOCK_PLUG, "frame: ranges that come and go")                       \
	X(LOCK_SPACES, "vm: list of spaces")                                 \
	X(LOCK_SPACE, "vm: regions and tables of one space")                 \
	X(LOCK_SPACE_CHILD, "vm: the space that a fork is making")           \
	X(LOCK_CACHES, "object: list of caches")                             \
	X(LOCK_CACHE, "object: slabs of one cache")                          \
	X(LOCK_SHOOTDOWN, "pt: the one shootdown under way")                 \
	X(LOCK_RESERVE, "frame: the emergency reserve")                      \
	X(LOCK_ZONE, "frame: one policy's state")

enum lock_rank {
#define LOCK_RANK_ENUM(name, text) name,
	LOCK_RANKS(LOCK_RANK_ENUM)
#undef LOCK_RANK_ENUM
	LOCK_RANK_N
};

#endif
