/*
 * A server that has stopped to answer holds up one request at a time, and not all that could ask others meanwhile: once a request has waited for
 * the whole timeout, and nothing has come from the server since, one request waits, and the others fail at once. Any thread.
 */
#ifndef CKFS_REMOTE_SILENCE_H
#define CKFS_REMOTE_SILENCE_H

#include "pool.h"

struct silence {
	pthread_mutex_t lock;
	/* protected by lock */
	bool is_silent;
	bool is_tried;      /* by the one who waits */
	uint64_t progress;  /* of the pool, when it became silent */
};

/* One who asks, between enter and leave. */
struct silence_visit {
	bool tries;        /* it is the one who waits */
	uint64_t progress; /* of the pool, when it began */
};

void silence_init(struct silence *silence);
void silence_done(struct silence *silence);

/* Whether it is, as far as the last request has shown. */
bool silence_is_on(struct silence *silence);

/* Before a request. 0; -ETIMEDOUT the server is silent and somebody waits already: there is nothing to leave then. */
int silence_enter(struct silence *silence, const struct pool *pool, struct silence_visit *ret);

/* After it. r: what came of it. */
void silence_leave(struct silence *silence, const struct pool *pool, const struct silence_visit *visit, int r);

#endif
