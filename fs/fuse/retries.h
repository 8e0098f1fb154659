/*
 * Threads that were told ESTALE by an open. The kernel looks the name up again and opens what that finds, once:
 * a second ESTALE would reach the user. So whoever comes back may open what its own lookup has just found, even
 * if that was overwritten meanwhile.
 */
#ifndef CKFS_RETRIES_H
#define CKFS_RETRIES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Threads at one time; the oldest is forgotten. */
#define RETRIES_MAX 64

struct retries {
	pthread_mutex_t lock;
	atomic_uint live; /* a hint: whether any slot may be in use */
	/* protected by lock */
	unsigned next;
	struct retry {
		pid_t pid;
		uint64_t inode; /* what its lookup has found; 0: not yet */
		int64_t until;  /* monotonic ms; 0: free */
	} slots[RETRIES_MAX];
};

/* A thread was told ESTALE. */
void retry_note(struct retries *retries, pid_t pid);

/* A thread's lookup has found an inode, or (0) nothing. */
void retry_found(struct retries *retries, pid_t pid, uint64_t inode);

/* Whether an open comes from such a lookup. Either way the thread's retry ends. */
bool retry_take(struct retries *retries, pid_t pid, uint64_t inode);

#endif
