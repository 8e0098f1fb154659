/*
 * Knows which server has a key. There are three kinds of source: a single server; a cluster, whose slots are spread over masters; a service
 * behind sentinels, which name its one master. All questions about keys go through here.
 *
 * What is known of the servers (the topology) may be out of date at any time. Each change of it begins an epoch, and then all keys count as
 * changed. An answer counts only if the same node still has the key afterwards.
 *
 *   cluster    A server refuses keys that are not its own (MOVED, ASK), so each answer to a command with a key proves who has it.
 *   sentinels  An old master may not know that it was replaced. So an answer counts only if, within a second, the sentinels are asked
 *              and ROLE confirms it.
 *
 * If a server is lost, requests wait for it within their timeout, and look at the topology again: another server may have taken its place. Once
 * it has been gone for that long, requests fail at once.
 */
#ifndef CKFS_REDIS_NODES_H
#define CKFS_REDIS_NODES_H

#include "node.h"
#include "sentinels.h"
#include "topology.h"

#include "ckfs/error.h"

/* Do not look again while the topology is younger than this, in milliseconds, unless a server is lost. */
#define LOOK_MS 1000

struct redis_nodes {
	struct redis_seeds seeds;
	bool from_replicas; /* read replicas, if there are any */
	struct node_settings settings;
	struct sentinels *sentinels; /* NULL: there are none */
	pthread_mutex_t lock;
	pthread_cond_t looked;
	/* protected by lock */
	struct redis_topology topology;
	struct redis_node **readers; /* of each shard, the one that is read */
	struct redis_node *all;      /* also retired ones */
	uint64_t epoch;
	int64_t unserved_since; /* monotonic ms: since when a slot has no server; 0: all have one */
	unsigned turn; /* whom to ask for the topology first */
	bool looking; /* a thread looks just now, and `sentinels` belongs to it */
	int64_t looked_at; /* monotonic ms: when the last look began, or failed */
	int outcome;       /* of that */
};

/* `login`, which is borrowed, names the server where there are no seeds. Takes over the seeds. */
void nodes_init(struct redis_nodes *nodes, const struct redis_target *login, struct redis_seeds *seeds, bool from_replicas, int timeout_ms,
	uint64_t seed, struct changes *changes);

/* Learns the topology, and connects once. Keeps no connection and starts no thread. 0, -errno with the error set. */
int nodes_open(struct redis_nodes *nodes, struct error *error);

/* Ends all listeners. */
void nodes_stop(struct redis_nodes *nodes);

void nodes_done(struct redis_nodes *nodes);

/* The hash by which announcements name a key. */
uint64_t nodes_hash(const struct redis_nodes *nodes, const void *key, size_t n);

/*
 * Asks whoever has the key `name`, as redis_pool_ask() does; `ask` may be called several times. Never REPLY_MOVED or REPLY_ASK;
 * -EAGAIN also: nobody has the key just now. After a failure what `ask` has stored may be of an answer that did not count.
 */
int nodes_ask(struct redis_nodes *nodes, const struct bytes *name, int (*ask)(struct redis_connection *connection, void *arg), void *arg,
	const atomic_bool *cancel);

/* The round of the listener that hears of changes of a key, as listener_round(). 0: there is none. */
uint64_t nodes_round(struct redis_nodes *nodes, const struct bytes *name);

/* Whether a round is on: from its listener's first moment until it may have missed something. */
bool nodes_is_on(struct redis_nodes *nodes, uint64_t round);

/* listener_fence() of whichever node that round is of. */
int nodes_fence(struct redis_nodes *nodes, uint64_t round);

/* The same, and checks that the node of this round still has the key. 0; -ESTALE also: it does not, or nobody can tell; -ETIMEDOUT. */
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
 * Asks one node of the list, even if the topology has changed. As redis_pool_ask(); -ESTALE: this node is lost, and others have replaced it.
 */
int nodes_ask_one(struct redis_nodes *nodes, const struct node_list *list, size_t index, const struct reached *reached,
	int (*ask)(struct redis_connection *connection, void *arg), void *arg, const atomic_bool *cancel);

/* Adds a server that has no slots. 0, -ENOMEM, -EIO there are too many. */
int node_list_add(struct redis_nodes *nodes, struct node_list *list, const struct address *address);

/* --- servers/settle.c --- */

/*
 * Has each node of the list tell what it knows of the topology, so that all that was moved before the call is known. *ret_moving: keys may be
 * under way between two nodes just now; if one of these is not in the list it is added. 0, errors as of nodes_ask_one().
 */
int nodes_settle(struct redis_nodes *nodes, struct node_list *list, const atomic_bool *cancel, bool *ret_moving);

/* --- servers/look.c --- */

/*
 * Looks at the topology, unless others have since `since` (monotonic ms; INT64_MAX: in any case). `hint`: a server that knows
 * more, NULL: none. `error`: told what is wrong, before the mount serves; NULL afterwards. 0; -errno nobody could be asked.
 */
int nodes_look(struct redis_nodes *nodes, int64_t since, const struct address *hint, struct error *error);

/* --- of servers/nodes.c, for servers/ask.c and servers/look.c --- */

/* Takes over a topology, and leaves an empty one. 0, -ENOMEM: the old one stays. */
int nodes_adopt(struct redis_nodes *nodes, struct redis_topology *topology);

/* After a failure: chooses again which server of each shard is read. */
void nodes_choose(struct redis_nodes *nodes);

/* A reference to the node at an address; NULL: none is known there. */
struct redis_node *nodes_find(struct redis_nodes *nodes, const struct address *address);

/*
 * A reference to the node that a key (NULL: any) is read from; with `master` to its master, even where replicas are read.
 * 0; -EAGAIN nobody has the slot.
 */
int nodes_pick(struct redis_nodes *nodes, const struct bytes *name, bool master, struct redis_node **ret, uint64_t *ret_epoch);

/* Whether nodes_pick() would still give this node, and it is to be believed; and when the last look began. */
bool nodes_still_read(struct redis_nodes *nodes, const struct bytes *name, bool master, const struct redis_node *node,
	int64_t *ret_looked_at);

/* A reference to the node whose listener is in a round; NULL: it is over. */
struct redis_node *nodes_of_round(struct redis_nodes *nodes, uint64_t round);

void nodes_release(struct redis_nodes *nodes, struct redis_node *node);

/* Whether the last request to it failed, since it was lost or could not answer. */
bool node_is_failing(struct redis_nodes *nodes, const struct redis_node *node);

#endif
