/*
 * Requests under way: whoever asks for a key while another one asks for it gets the answer of that one, since each costs money. Who waits so may give up at any
 * time; when the one who asks gives up, another one asks instead.
 */
#ifndef CKFS_HTTP_FLIGHTS_H
#define CKFS_HTTP_FLIGHTS_H

#include "ckfs/backend.h"
#include "ckfs/table.h"

#include <pthread.h>

struct flights {
	/* What is asked. As of backend_ops.find. */
	int (*ask)(void *arg, const struct key *key, const atomic_bool *cancel, struct stored *ret);
	void *arg;
	pthread_mutex_t lock;
	struct table by_key; /* protected by lock */
};

/* 0, -ENOMEM. */
int flights_init(struct flights *flights, int (*ask)(void *arg, const struct key *key, const atomic_bool *cancel, struct stored *ret), void *arg);

/* Nobody asks any more. */
void flights_done(struct flights *flights);

/* 0, errors as of ask(); -EINTR *cancel became true. */
int flights_ask(struct flights *flights, const struct key *key, const atomic_bool *cancel, struct stored *ret);

/* A key was changed: who waits for it gets what is under way, and who comes from now on asks anew. */
void flights_part(struct flights *flights, const struct key_hash *key);

#endif
