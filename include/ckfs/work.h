/* A pool of threads for what takes long: hashing and decoding, never more at once than there are cores. */
#ifndef CKFS_WORK_H
#define CKFS_WORK_H

#include <stdbool.h>

struct work {
	void (*run)(struct work *work);
	struct work *next;
};

struct work_pool;

/* Threads start with the first work. 0, -ENOMEM. */
int work_pool_new(unsigned threads, struct work_pool **ret);

/* Runs what is queued to its end, then stops. */
void work_pool_free(struct work_pool *pool);

/* Queues work; it is the caller's again once run() was entered. */
void work_submit(struct work_pool *pool, struct work *work);

/* Takes queued work back. True: no thread had begun it, and none will. */
bool work_withdraw(struct work_pool *pool, struct work *work);

#endif
