/*
 * A request that asks the backend. A local one is asked on the spot. A remote one may keep its caller waiting: it is
 * asked on the request's thread if there is another one, else on a thread that may wait, and the caller who is interrupted gets
 * EINTR at once.
 */
#ifndef CKFS_ERRAND_H
#define CKFS_ERRAND_H

#include "mount.h"

#include "ckfs/work.h"

#include <stdatomic.h>

/* Threads that wait for a remote backend. */
#define ERRAND_THREADS 16

struct errand {
	struct mount *m;
	fuse_req_t req;
	pid_t pid; /* of the caller */

	/* Asks the backend. Does not touch the request. 0, -errno. */
	int (*ask)(struct errand *errand);
	/* Answers the request. r: what ask() has returned. */
	void (*finish)(struct errand *errand, int r);
	/* Lets go of what ask() has got, when nobody waits for the answer any more; NULL: nothing. Called as well after finish(). */
	void (*done)(struct errand *errand);

	atomic_bool cancelled; /* nobody waits for what ask() asks any more */

	/* private */
	struct work work;
	atomic_int state;
	atomic_bool one_side_left;
};

/* Begins an errand: `errand` is the first member of a struct of `size` bytes, which is copied where it has to outlive the call. */
void errand_start(struct errand *errand, size_t size);

/* Ends an errand whose question was answered before it began. */
void errand_answer(struct errand *errand);

#endif
