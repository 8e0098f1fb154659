/*
 * Looking ahead: a batch of a listing that another thread asks for, while what comes before it is shown. It is part of a larger structure, which holds what
 * is asked for.
 */
#ifndef CKFS_REMOTE_AHEAD_H
#define CKFS_REMOTE_AHEAD_H

#include "ckfs/event.h"
#include "ckfs/work.h"

#include <stdatomic.h>

struct ahead {
	struct work_pool *pool; /* borrowed */
	struct work work;
	struct event returned; /* the other thread has done with it */
	int (*ask)(struct ahead *ahead, const atomic_bool *cancel);
	atomic_bool cancel; /* it is not wanted any more */
	int r;              /* what came of it */
};

/* Has a thread of the pool call `ask`: 0, or -errno. Until ahead_wait() or ahead_drop() the batch is that thread's. */
void ahead_begin(struct ahead *ahead, struct work_pool *pool, int (*ask)(struct ahead *ahead, const atomic_bool *cancel));

/*
 * Waits for it. 0: it is over, and *ret is what came of it; but 0 when it was over before, since nobody has waited for what failed then. 1: no
 * thread had begun it, and none will: those who look ahead may all be busy with other listings. -EINTR: *cancel became true, and it goes on.
 */
int ahead_wait(struct ahead *ahead, const atomic_bool *cancel, int *ret);

/* Cancels it, and waits until it is over. */
void ahead_drop(struct ahead *ahead);

#endif
