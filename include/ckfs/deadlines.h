/*
 * Things that are kept for the same time each, from when they were added, and then let go by a thread of their own: an idle process so
 * holds nothing for longer.
 */
#ifndef CKFS_DEADLINES_H
#define CKFS_DEADLINES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Part of what is kept. All zero while it is not. */
struct deadline {
	struct deadline *before, *after;
	int64_t at; /* monotonic ms; 0: it is not kept */
};

struct deadlines {
	pthread_mutex_t lock; /* may protect more of its owner's */
	int64_t ms;
	void (*over)(struct deadline *deadline);
	/* protected by lock */
	struct deadline *first, *last; /* the first ends first */
	unsigned count;
	pthread_cond_t changed;
	bool started, ending;
	pthread_t thread;
};

/* `over` is called without the lock, when the time of what was added is over: it is kept no more. */
void deadlines_init(struct deadlines *deadlines, int64_t ms, void (*over)(struct deadline *deadline));

/* Ends the thread, and drops all. */
void deadlines_done(struct deadlines *deadlines);

/* With the lock held: keeps what is not kept. The thread starts with the first one. */
void deadlines_add(struct deadlines *deadlines, struct deadline *deadline);

/* With the lock held: keeps one no more, without a call of over(). */
void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline);

/* Lets all go, as if their time were over. */
void deadlines_drop(struct deadlines *deadlines);

#endif
