/*
 * Lookups that have just timed out. When the lookup of a name that the kernel knows fails, the kernel asks a second time at once. That one must not
 * wait as long again: it gets the same answer without asking. As many lookups of a name get it as have timed out; it does not matter which.
 */
#ifndef CKFS_FUSE_TIMEOUTS_H
#define CKFS_FUSE_TIMEOUTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define TIMEOUTS 64

struct timeouts {
	pthread_mutex_t lock;
	/* protected by lock */
	struct {
		uint64_t name;
		unsigned owed; /* so many get the answer again */
		int64_t until; /* monotonic ms */
	} last[TIMEOUTS]; /* by the name: where two share a place, one waits a second time */
};

/* Notes that the lookup of a name (a hash of it) has timed out. */
void timeouts_note(struct timeouts *timeouts, uint64_t name);

/* Whether that was noted just now, more often than it was taken. */
bool timeouts_take(struct timeouts *timeouts, uint64_t name);

#endif
