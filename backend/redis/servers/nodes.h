/*
 * Which server has a key, for the three kinds of source: a single server; a cluster, whose slots are spread over masters; a service
 * behind sentinels, whose one master they name. Whoever asks for a key asks here.
 *
 * What is known of the servers (the topology) may be out of date at any time. Each change of it is an epoch, and with each nothing
 * counts any more that was known of any key. An answer counts only if afterwards it is still the same node that has the key.
 *
 *   cluster    A server refuses keys that are not its own (MOVED, ASK), so each answer to a command with a key proves who has it.
 *   sentinels  An old master may not know that it is one. So no answer counts that is not followed, within a second, by a look
 *              at what the sentinels say, and by ROLE.
 *
 * A server that is lost is waited for, within the timeout of a request, while the topology is looked at again: another one may have
 * taken its place. Once it has been gone for that long, requests fail at once.
 */
#ifndef CKFS_REDIS_NODES_H
#define CKFS_REDIS_NODES_H

#include "redis_node.h"
#include "redis_sentinels.h"
#include "redis_topology.h"

#include "ckfs/error.h"

/* Of what is not older, milliseconds, nobody looks again; a lost server makes them look sooner. */
#define LOOK_MS 1000

struct redis_nodes {
	struct redis_seeds seeds;
	bool from_replicas; /* they are read, where there are any */
	struct node_settings settings;
	struct sentinels *sentinels; /* NULL: there are none */
	pthread_mutex_t lock;
	pthread_cond_t looked;
	/* protected by lock */
	struct redis_topology topology;
	struct redis_node **readers; /* of each shard, the one that is read */
	struct redis_node *all;      /* also retired ones */
	uint64_t epoch;
	int64_t unserved_since; /* monotonic ms: since then there is a slot that no server has; 0: all had one */
	unsigned turn; /* whom to ask for the topology first */
	bool looking; /* somebody is: `sentinels` is that thread's */
	int64_t looked_at; /* monotonic ms: when the last look began, or failed */
	int outcome;       /* of that */
};

/* `login`, which is borrowed, names the server where there are no seeds. Takes over the seeds. */
void nodes_init(struct redis_nodes *nodes, const struct redis_target *login, struct redis_seeds *seeds, bool from_replicas, int timeout_ms,
	uint64_t seed, struct changes *changes);

/* Learns who is there, and connects once. Keeps no connection and starts no thread. 0, -errno with the error set. */
int nodes_open(struct redis_nodes *nodes, struct error *error);

/* Has those who listen end. */
void nodes_stop(struct redis_nodes *nodes);

void nodes_done(struct redis_nodes *nodes);

/* What announcements name a key by. */
uint64_t nodes_hash(const struct redis_nodes *nodes, const void *key, size_t n);

/*
 * Asks whoever has the key `name`, as pool_ask() does; `ask` may be called several times. Never REPLY_MOVED or REPLY_ASK;
 * -EAGAIN also: nobody has the key just now. After a failure what `ask` has stored may be of an answer that did not count.
 */
int nodes_ask(struct redis_nodes *nodes, const struct bytes *name, int (*ask)(struct redis_connection *connection, void *arg), void *arg,
	const atomic_bool *cancel);

/* The round of the listener that hears of changes of a key, as of listener_round(). 0: there is none. */
uint64_t nodes_round(struct redis_nodes *nodes, const struct bytes *name);

/* Whether a round is on: from its listener's first moment until it may have missed something. */
bool nodes_is_on(struct redis_nodes *nodes, uint64_t round);

/* listener_fence() of whichever node that round is of. */
int nodes_fence(struct redis_nodes *nodes, uint64_t round);

/* The same, and that the node of this round has the key still. 0; -ESTALE also: it has not, or nobody can tell; -ETIMEDOUT. */
int nodes_confirm(struct redis_nodes *nodes, const struct bytes *name, uint64_t round);

/* --- all of them --- */

/* The nodes of all shards, as of one epoch. */
struct node_list {
	struct redis_node **nodes;
	size_t count;
	struct redis_topology topology;
	uint64_t epoch;
};

/* 0, -ENOMEM. */
int nodes_list(struct redis_nodes *nodes, struct node_list *ret);
void node_list_done(struct redis_nodes *nodes, struct node_list *list);

/*
 * Asks one of the list, whatever became of the topology. As pool_ask_again(); -ESTALE: this node is lost, and others are there instead.
 */
int nodes_ask_one(struct redis_nodes *nodes, const struct node_list *list, size_t index, const struct reached *reached,
	int (*ask)(struct redis_connection *connection, void *arg), void *arg);

/* Adds a server that has no slots. 0, -ENOMEM, -EIO there are too many. */
int node_list_add(struct redis_nodes *nodes, struct node_list *list, const struct redis_address *address);

/* --- redis_settle.c --- */

/*
 * Has each node of the list tell what it knows of the topology, so that all that was moved before the call is known. *ret_moving: keys may be
 * under way between two nodes just now; if one of these is not in the list it is added. 0, errors as of nodes_ask_one().
 */
int nodes_settle(struct redis_nodes *nodes, struct node_list *list, bool *ret_moving);

/* --- redis_look.c --- */

/*
 * Looks at the topology, unless others have since `since` (monotonic ms; INT64_MAX: in any case). `hint`: a server that knows
 * more, NULL: none. `error`: told what is wrong, before the mount serves; NULL afterwards. 0; -errno nobody could be asked.
 */
int nodes_look(struct redis_nodes *nodes, int64_t since, const struct redis_address *hint, struct error *error);

/* --- of redis_nodes.c, for redis_ask.c and redis_look.c --- */

/* Takes over a topology, which is empty then. 0, -ENOMEM: the old one stays. */
int nodes_adopt(struct redis_nodes *nodes, struct redis_topology *topology);

/* Chooses anew which server of each shard is read; after a failure. */
void nodes_choose(struct redis_nodes *nodes);

/* A reference to the node at an address; NULL: none is known there. */
struct redis_node *nodes_find(struct redis_nodes *nodes, const struct redis_address *address);

/*
 * A reference to the node that a key (NULL: any) is read from; with `master` to its master, even where replicas are read.
 * 0; -EAGAIN nobody has the slot.
 */
int nodes_pick(struct redis_nodes *nodes, const struct bytes *name, bool master, struct redis_node **ret, uint64_t *ret_epoch);

/* Whether it is still the node that nodes_pick() would give, and one to believe; and when the last look began. */
bool nodes_still_read(struct redis_nodes *nodes, const struct bytes *name, bool master, const struct redis_node *node,
	int64_t *ret_looked_at);

/* A reference to the node whose listener is in a round; NULL: it is over. */
struct redis_node *nodes_of_round(struct redis_nodes *nodes, uint64_t round);

void nodes_release(struct redis_nodes *nodes, struct redis_node *node);

/* Whether it was lost, or could not answer, when it was asked last. */
bool node_is_failing(struct redis_nodes *nodes, const struct redis_node *node);

#endif
