/*
 * A hash table of nodes that live inside their owners. It allocates only its buckets;
 * the caller compares keys among the nodes of one hash, and locks. Where a hash has its place is random: others may choose what is hashed, but
 * not fill one place.
 */
#ifndef CKFS_TABLE_H
#define CKFS_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_node {
	struct table_node *next;
	uint64_t hash;
};

struct table {
	struct table_node **buckets;
	size_t bucket_count; /* a power of two */
	unsigned shift;      /* 64 less its logarithm */
	uint64_t spread;     /* odd and random */
	size_t count;
	size_t popped; /* buckets before this one are empty */
};

/* 0, -ENOMEM. */
int table_init(struct table *table);

/* Frees the buckets; the nodes are their owners'. */
void table_done(struct table *table);

void table_add(struct table *table, struct table_node *node, uint64_t hash);
void table_remove(struct table *table, struct table_node *node);

/* The nodes with this hash, in no order. */
struct table_node *table_first(const struct table *table, uint64_t hash);
struct table_node *table_next(const struct table_node *node);

/* Takes any node out; NULL when the table is empty. For taking a table down. */
struct table_node *table_pop(struct table *table);

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
