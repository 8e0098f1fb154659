/*
 * What is kept of keys: one node a key, bounded in number and in bytes; the least recently used go first. A node is the beginning of a larger
 * structure, which its owner makes and frees. Any thread may call; what says "under the lock" is called with `lock` held.
 */
#ifndef CKFS_REMOTE_KEPT_H
#define CKFS_REMOTE_KEPT_H

#include "ckfs/key.h"
#include "ckfs/table.h"

#include <pthread.h>

struct kept_node {
	struct table_node node;
	struct kept_node *newer, *older;
	struct key_hash hash;
	uint64_t bytes; /* of what it holds beside itself */
};

struct kept {
	void (*free_node)(struct kept_node *node); /* frees what it holds, too */
	size_t size; /* of a whole node */
	size_t count_max;
	uint64_t bytes_max;
	pthread_mutex_t lock;
	/* protected by lock */
	struct table table;
	struct kept_node *newest, *oldest;
	uint64_t bytes;
};

/* 0, -ENOMEM. */
int kept_init(struct kept *kept, size_t size, size_t count_max, uint64_t bytes_max, void (*free_node)(struct kept_node *node));
void kept_done(struct kept *kept);

/* The node of a key, the most recently used from now on. NULL: there is none. Under the lock. */
struct kept_node *kept_find(struct kept *kept, const struct key_hash *hash);

/* The same, or a new one, all zero but for its key. NULL: no memory. Under the lock. */
struct kept_node *kept_find_or_add(struct kept *kept, const struct key_hash *hash);

/* Lets a node go. Under the lock. */
void kept_drop(struct kept *kept, struct kept_node *node);

/* Says how many bytes a node holds by now, and lets others go as long as there are too many. Under the lock; the node may be gone then. */
void kept_charge(struct kept *kept, struct kept_node *node, uint64_t bytes);

#endif
