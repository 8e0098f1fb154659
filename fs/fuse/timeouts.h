/*
 * Lookups that have just timed out. When one of a name it knows comes to an error, the kernel asks a second time at once: that must not wait as
 * long again.
 */
#ifndef CKFS_FUSE_TIMEOUTS_H
#define CKFS_FUSE_TIMEOUTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TIMEOUTS 64

struct timeouts {
	pthread_mutex_t lock;
	/* protected by lock */
	struct {
		pid_t pid;
		uint64_t name;
		int64_t until; /* monotonic ms */
	} last[TIMEOUTS]; /* by the thread; those that share a place wait a second time */
};

/* A thread was told that the lookup of a name (a hash of it) has timed out. */
void timeouts_note(struct timeouts *timeouts, pid_t pid, uint64_t name);

/* Whether a thread was told so just now. It is asked once. */
bool timeouts_take(struct timeouts *timeouts, pid_t pid, uint64_t name);

#endif
