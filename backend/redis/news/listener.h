/*
 * The connection that is told what changes: each connection that reads has the server announce on this one what becomes
 * of the keys it has read (client-side caching, CLIENT TRACKING … REDIRECT). One thread of its own reads it.
 *
 * Each connection is a round. When it breaks, what was known counts no more, and the next round begins with a new
 * connection. A server that refuses (too old, no right to subscribe) has no rounds; it is asked again from time to time.
 */
#ifndef CKFS_REDIS_LISTENER_H
#define CKFS_REDIS_LISTENER_H

#include "redis_changes.h"
#include "redis_identity.h"

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
	struct redis_connection *connection; /* of this round; what arrives there is for who set `reading`; NULL: none */
	bool reading;                        /* somebody reads it */
	int64_t fenced_at;                   /* monotonic ms: when a fence was last wanted */
	uint64_t wanted, sent, answered;     /* fences of this round */
};

void listener_init(struct listener *listener, const struct redis_target *target, int timeout_ms, uint64_t seed, struct changes *changes);

/* Has the thread end, as soon as it sees that. There are no more rounds. */
void listener_stop(struct listener *listener);

/* Whether listener_done() has no thread to wait for. */
bool listener_has_ended(struct listener *listener);

/* Ends the thread. */
void listener_done(struct listener *listener);

/*
 * The round that is on, and the number to redirect to, which counts only at the server that is proved to know that identity; 0: there is none.
 * The first call starts the thread, and waits for its first try. NULL: it is not wanted.
 */
uint64_t listener_round(struct listener *listener, struct client_identity *ret_identity);

/* Has known what has arrived already, so that it does not look like a change while something is read. */
void listener_catch_up(struct listener *listener);

/* Whether a round is on. */
bool listener_is_in(struct listener *listener, uint64_t round);

/*
 * Waits until all is known that the server had announced before the call: one round trip, shared by all who come before it
 * begins. 0; -ESTALE that round is over; -ETIMEDOUT.
 */
int listener_fence(struct listener *listener, uint64_t round);

/* The same in two steps, with other things to do between them. */
uint64_t listener_fence_begin(struct listener *listener, uint64_t round);
int listener_fence_end(struct listener *listener, uint64_t round, uint64_t ticket);

/* Ends a round: not all that changes is announced any more. */
void listener_end(struct listener *listener, uint64_t round);

/*
 * Ends a round whose server is not the only one at the address: somebody has reached another one there. For a while there is none. False: that
 * cannot be told, for the round was over already.
 */
bool listener_doubt(struct listener *listener, uint64_t round);

/* What announcements name a key by. */
uint64_t listener_hash(const struct listener *listener, const void *key, size_t n);

#endif
