/*
 * Asks sentinels for the master of a service and its replicas. All of them are asked, and the one that has seen the latest failover is believed.
 * If that one does not answer any more, others that have not seen the failover are not believed. Connections are kept. One thread at a time.
 */
#ifndef CKFS_REDIS_SENTINELS_H
#define CKFS_REDIS_SENTINELS_H

#include "topology.h"

struct sentinel {
	struct redis_connection *connection; /* NULL: none */
	int64_t retry_at; /* monotonic ms: do not ask it before this */
	int pause;        /* ms */
	uint64_t epoch;   /* the number of the last failover that it told of */
};

struct sentinels {
	const struct redis_seeds *seeds;   /* borrowed */
	const struct redis_target *login;  /* borrowed */
	int timeout_ms;
	struct sentinel each[ADDRESSES_MAX];
};

/*
 * Asks them. 0 and a topology of one shard; -ENOENT none knows the service; -EAGAIN those that answer have not seen the latest failover;
 * -EACCES, -EAGAIN, -ECONNREFUSED, -ETIMEDOUT, -EIO, … none could be asked: why, with the error set.
 */
int sentinels_ask(struct sentinels *sentinels, bool replicas, struct redis_topology *ret, struct error *error);

/* Closes their connections; the next call opens them again. What they told is not forgotten. */
void sentinels_rest(struct sentinels *sentinels);

#endif
