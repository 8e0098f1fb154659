/*
 * The connection that hears what changes. Each connection that reads values lets the server announce here when its keys change
 * (client-side caching, CLIENT TRACKING … REDIRECT). One thread reads it.
 *
 * Each connection is a round. When it breaks, what was known does not count any more, and a new connection begins the next round. A server that
 * refuses (too old, no right to subscribe) has no rounds. It is asked again from time to time.
 */
#ifndef CKFS_REDIS_LISTENER_H
#define CKFS_REDIS_LISTENER_H

#include "changes.h"
#include "identity.h"

#include <pthread.h>

struct listener {
	const struct redis_target *target; /* borrowed */
	int timeout_ms;
	uint64_t seed;           /* of the hashes of keys */
	struct changes *changes; /* borrowed */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t moved;   /* for those who ask */
	pthread_cond_t resumed; /* for the thread */
	/* protected by lock */
	bool started, tried, stopping, ended;
	uint64_t round; /* 0: there is none just now; no two rounds of listeners with the same changes are equal */
	struct client_identity identity; /* of this round's connection */
	bool doubted; /* this round's server is not the only one at the address */
	struct redis_connection *connection; /* of this round; only who has set `reading` reads it; NULL: none */
	bool reading;                        /* somebody reads it */
	int64_t asked_at;                    /* monotonic ms: when a fence, or a connection, was last wanted */
	uint64_t wanted, sent, answered;     /* fences of this round */
};

void listener_init(struct listener *listener, const struct redis_target *target, int timeout_ms, uint64_t seed, struct changes *changes);

/* Tells the thread to end. There are no more rounds. */
void listener_stop(struct listener *listener);

/* Whether listener_done() has no thread to wait for. */
bool listener_has_ended(struct listener *listener);

/* Ends the thread. */
void listener_done(struct listener *listener);

/*
 * The present round, and the client to which announcements are to be redirected. Its number is valid only at the server that is proved to know that
 * identity. 0: there is no round. The first call starts the thread, and waits for its first try. NULL: the identity is not wanted.
 */
uint64_t listener_round(struct listener *listener, struct client_identity *ret_identity);

/* Reads what has arrived already. Else it would look like a change that came while a value was read. For a moment the thread leaves it to who asks next. */
void listener_catch_up(struct listener *listener);

/* Whether this round goes on. */
bool listener_is_in(struct listener *listener, uint64_t round);

/*
 * Waits until all announcements from before the call are known: one round trip, which all share who call before it begins. 0; -ESTALE that round
 * is over; -ETIMEDOUT.
 */
int listener_fence(struct listener *listener, uint64_t round);

/* The same in two steps, with other things to do between them. */
uint64_t listener_fence_begin(struct listener *listener, uint64_t round);
int listener_fence_end(struct listener *listener, uint64_t round, uint64_t ticket);

/* Ends a round, since some changes would not be announced any more. */
void listener_end(struct listener *listener, uint64_t round);

/*
 * Ends a round since its server is not the only one at the address: a connection has reached another one. For a while there is no new round.
 * False: the round was over already.
 */
bool listener_doubt(struct listener *listener, uint64_t round);

/* The hash by which announcements name a key. */
uint64_t listener_hash(const struct listener *listener, const void *key, size_t n);

#endif
