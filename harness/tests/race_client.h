/// Code that races, compiled the way mm/ is for the race detector. The names of these
/// functions are looked for in reports; what they do is in the comments.
#ifndef RACE_CLIENT_H
#define RACE_CLIENT_H

#include <stdint.h>

struct race_client {
	uint32_t lock, flag;
	uint64_t guarded, bare;
	uint8_t byte[8];
	struct race_client_wide {
		uint64_t word[8];
	} from, to;
};

/// Adds to `bare`, which nothing protects, two calls deep.
void race_client_add(struct race_client *c);
/// Adds to `guarded` under the lock; `forget_it`: without.
void race_client_add_guarded(struct race_client *c, int forget_it);
/// Writes `guarded`, then sets the flag; release, or relaxed.
void race_client_publish(struct race_client *c, int release);
/// Waits for the flag, then reads `guarded`. Returns: it
uint64_t race_client_receive(struct race_client *c);
/// Its own byte of eight.
void race_client_byte(struct race_client *c, unsigned i);
/// Assigns a whole struct.
void race_client_assign(struct race_client *c);
/// Plain accesses to words of `from`, as many as asked for. Returns: their sum
uint64_t race_client_many(struct race_client *c, uint64_t n);

#endif
