#include "flights.h"

#include "ckfs/cleanup.h"
#include "ckfs/event.h"

#include <errno.h>

/* One who waits for another's request, on the stack of its thread. */
struct waiter {
	struct event answered;
	int r;
	bool again; /* who asked has gone: it is to ask itself */
	struct stored stored;
	/* protected by flights.lock */
	struct flight *flight; /* NULL: it was answered */
	struct waiter *next;
};

/* A request, on the stack of who asks. */
struct flight {
	struct table_node node;
	const struct key *key;
	/* protected by flights.lock */
	struct waiter *waiting;
	bool is_listed; /* in the table: others may join */
};

int flights_init(struct flights *flights, int (*ask)(void *arg, const struct key *key, const atomic_bool *cancel, struct stored *ret), void *arg)
{
	*flights = (struct flights){.ask = ask, .arg = arg};
	pthread_mutex_init(&flights->lock, NULL);
	return table_init(&flights->by_key);
}

void flights_done(struct flights *flights)
{
	table_done(&flights->by_key);
	pthread_mutex_destroy(&flights->lock);
}

static void copy_stored(const struct stored *stored, struct stored *ret)
{
	*ret = *stored;
	slice_copy(&stored->value, &ret->value);
}

/* flights->lock is held. */
static struct flight *find(const struct flights *flights, const struct key_hash *key)
{
	struct table_node *node = table_first(&flights->by_key, key_hash_short(key));
	for (; node; node = table_next(node)) {
		struct flight *flight = container_of(node, struct flight, node);
		if (key_hash_equal(&flight->key->hash, key))
			return flight;
	}
	return NULL;
}

/* Waits with those who wait for a key already: true. Else `own` is the request for it. */
static bool join(struct flights *flights, const struct key *key, struct waiter *w, struct flight *own)
{
	LOCK(&flights->lock);
	struct flight *flight = find(flights, &key->hash);
	if (!flight) {
		table_add(&flights->by_key, &own->node, key_hash_short(&key->hash));
		own->is_listed = true;
		return false;
	}
	w->flight = flight;
	w->next = flight->waiting;
	flight->waiting = w;
	return true;
}

/* Who comes from now on asks anew. flights->lock is held. */
static void unlist(struct flights *flights, struct flight *flight)
{
	if (flight->is_listed)
		table_remove(&flights->by_key, &flight->node);
	flight->is_listed = false;
}

void flights_part(struct flights *flights, const struct key_hash *key)
{
	LOCK(&flights->lock);
	struct flight *flight = find(flights, key);
	if (flight)
		unlist(flights, flight);
}

/* Goes away. False: it was answered by now. */
static bool leave(struct flights *flights, struct waiter *w)
{
	LOCK(&flights->lock);
	if (!w->flight)
		return false;
	struct waiter **at = &w->flight->waiting;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	return true;
}

/* The request is over: tells all who wait. */
static void land(struct flights *flights, struct flight *flight, int r, bool gone, const struct stored *stored)
{
	LOCK(&flights->lock);
	unlist(flights, flight);
	for (struct waiter *next, *w = flight->waiting; w; w = next) {
		next = w->next;
		w->flight = NULL;
		w->r = r;
		w->again = r == -EINTR && gone;
		if (r == 0)
			copy_stored(stored, &w->stored);
		event_tell(&w->answered);
	}
}

/* Waits for the answer of another's request. As of flights_ask(); 1: there was none. */
static int await(struct flights *flights, const atomic_bool *cancel, struct waiter *w, struct stored *ret)
{
	/* One that cannot leave any more was answered. */
	if (event_take(&w->answered, cancel) < 0 && leave(flights, w))
		return -EINTR;
	if (w->r == 0)
		*ret = w->stored;
	return w->again ? 1 : w->r;
}

int flights_ask(struct flights *flights, const struct key *key, const atomic_bool *cancel, struct stored *ret)
{
	struct flight own = {.key = key};
	int r = 1;
	while (r == 1 && !was_cancelled(cancel)) {
		struct waiter w = {.r = 1};
		event_init(&w.answered, false);
		if (join(flights, key, &w, &own)) {
			r = await(flights, cancel, &w, ret);
		} else {
			r = flights->ask(flights->arg, key, cancel, ret);
			land(flights, &own, r, was_cancelled(cancel), ret);
		}
		event_done(&w.answered);
	}
	return r == 1 ? -EINTR : r;
}
