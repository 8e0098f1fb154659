/* A pool of threads for what takes long: hashing and decoding, on no more of them than there are cores; waiting for a network, on others. */
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

/*
 * Lets a pool grow up to `most` threads while all of its own wait, so that others need not wait as long as they do: when nothing that is queued was
 * begun for 0.1 s. The others end after some seconds without work. Before the first work.
 */
void work_pool_grow(struct work_pool *pool, unsigned most);

/* Runs what is queued to its end, and ends the threads. What is submitted from then on runs where it is submitted. */
void work_pool_stop(struct work_pool *pool);

/* Stops it, too. */
void work_pool_free(struct work_pool *pool);

/* Queues work; it is the caller's again once run() was entered. */
void work_submit(struct work_pool *pool, struct work *work);

/* Takes queued work back. True: no thread had begun it, and none will. */
bool work_withdraw(struct work_pool *pool, struct work *work);

#endif
