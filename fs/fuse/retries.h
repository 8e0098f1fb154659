/*
 * Threads that were told ESTALE by an open. The kernel looks the name up again and opens what that finds, once:
 * a second ESTALE would reach the user. So what their own lookup has found is held for them until they open it, even
 * if it was overwritten meanwhile, and whatever else has to give way.
 */
#ifndef CKFS_RETRIES_H
#define CKFS_RETRIES_H

#include "ckfs/entry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct retry;

struct retries {
	pthread_mutex_t lock;
	atomic_uint live; /* a hint: how many there are */
	/* protected by lock */
	struct retry *oldest, *newest; /* by their deadlines */
};

/* Ends all of them. */
void retries_done(struct retries *retries);

/* A thread was told ESTALE. */
void retry_note(struct retries *retries, pid_t pid);

/* Whether a thread has yet to come back from one. */
bool retry_is_due(struct retries *retries, pid_t pid);

/* Such a thread's lookup has found an entry, and this inode; takes a reference of its own. NULL: nothing was found. */
void retry_found(struct retries *retries, pid_t pid, uint64_t inode, struct entry *entry);

/* What the lookup of a thread that comes back to open this inode has found: a reference; NULL: it does not. Either way its retry ends. */
struct entry *retry_take(struct retries *retries, pid_t pid, uint64_t inode);

#endif
