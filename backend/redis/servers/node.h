/* One Redis server: where it is, its connections, and the one that listens. */
#ifndef CKFS_REDIS_NODE_H
#define CKFS_REDIS_NODE_H

#include "pool.h"
#include "backend/redis/address/seeds.h"

struct redis_node {
	struct address address; /* empty for a single server that SOURCE names */
	struct redis_target target;   /* its own host; all else is that of SOURCE */
	struct listener listener;
	struct redis_pool pool;
	/* protected by redis_nodes.lock */
	struct redis_node *next;
	unsigned refs;
	bool retired;          /* it is no part of the topology any more */
	bool doubtful;         /* it should be a master, but says that it is not */
	int64_t failing_since, failed_at; /* monotonic ms: the first and the last failure; 0: the last request worked */
};

/* What every node of a source has in common. All borrowed. */
struct node_settings {
	const struct redis_target *login;
	int timeout_ms;
	uint64_t seed; /* of the hashes of keys */
	struct changes *changes;
	int (*prepare)(struct redis_connection *connection); /* as of redis_pool */
};

/* A node at an address (NULL: at that of the login), without a connection. NULL: no memory. */
struct redis_node *node_new(const struct node_settings *settings, const struct address *address);

/* Ends its thread, which may take as long as a try to connect. */
void node_free(struct redis_node *node);

/* What came of asking. */
struct node_answer {
	bool asked;  /* there was a connection */
	bool broken; /* it broke, or what came made no sense */
	char redirect[REDIRECT_MAX]; /* with REPLY_MOVED and REPLY_ASK */
};

/* As redis_pool_ask(). `asking`: each command with ASKING before it, and nobody hears of changes. */
int node_ask(struct redis_node *node, bool asking, const struct reached *reached, int (*ask)(struct redis_connection *connection, void *arg),
	void *arg, const atomic_bool *cancel, struct node_answer *ret);

/* The same over a connection that is no node's. */
int node_ask_over(struct redis_connection *connection, bool asking, int (*ask)(struct redis_connection *connection, void *arg), void *arg,
	struct node_answer *ret);

/* The target of an address, with the login of another one. It borrows both. */
struct redis_target target_at(const struct redis_target *login, const struct address *address);

/* To prepare new connections: allow reads from a replica; check that it is a master (-EAGAIN: it is not). */
int node_prepare_replica(struct redis_connection *connection);
int node_prepare_master(struct redis_connection *connection);

#endif
