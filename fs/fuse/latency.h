/*
 * How long requests take, from when one was taken from the kernel until it was answered. The thread that has taken one notes when. What is answered on the
 * spot is counted when its operation returns; a request that begins to wait takes the note with it, and is counted when it is answered. What an
 * interrupt answers is not counted.
 */
#ifndef CKFS_FUSE_LATENCY_H
#define CKFS_FUSE_LATENCY_H

#include "ckfs/stats.h"

struct mount;

struct latency {
	enum stats_request operation;
	int64_t began; /* clock_ns(); 0: nobody has noted it */
};

void latency_begin(enum stats_request operation);
void latency_end(struct mount *m);

/* The note of this thread, which has none then. */
struct latency latency_take(void);
void latency_count(struct mount *m, const struct latency *latency);

#endif
