#include "ckfs/table.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#define BUCKETS_MIN 64
#define SHIFT_MAX 58

_Static_assert(UINT64_C(1) << (64 - SHIFT_MAX) == BUCKETS_MIN, "the highest bits of a spread hash are the place");

int table_init(struct table *table)
{
	struct table_node **buckets = calloc(BUCKETS_MIN, sizeof *buckets);
	if (!buckets)
		return -ENOMEM;
	*table = (struct table){.buckets = buckets, .bucket_count = BUCKETS_MIN, .shift = SHIFT_MAX};
	randombytes_buf(&table->spread, sizeof table->spread);
	table->spread |= 1;
	return 0;
}

void table_done(struct table *table)
{
	free(table->buckets);
	*table = (struct table){0};
}

static struct table_node **bucket_of(const struct table *table, uint64_t hash)
{
	return &table->buckets[hash * table->spread >> table->shift];
}

/* Doubles the buckets. Without memory the table only gets slower. */
static void grow(struct table *table)
{
	struct table bigger = {
		.bucket_count = table->bucket_count * 2, .shift = table->shift - 1, .spread = table->spread, .count = table->count,
	};
	bigger.buckets = calloc(bigger.bucket_count, sizeof *bigger.buckets);
	if (!bigger.buckets)
		return;
	for (size_t i = 0; i < table->bucket_count; i++) {
		struct table_node *node = table->buckets[i];
		while (node) {
			struct table_node *next = node->next;
			struct table_node **to = bucket_of(&bigger, node->hash);
			node->next = *to;
			*to = node;
			node = next;
		}
	}
	free(table->buckets);
	*table = bigger;
}

void table_add(struct table *table, struct table_node *node, uint64_t hash)
{
	if (table->count >= table->bucket_count)
		grow(table);
	struct table_node **to = bucket_of(table, hash);
	node->hash = hash;
	node->next = *to;
	*to = node;
	table->count++;
	table->popped = 0;
}

void table_remove(struct table *table, struct table_node *node)
{
	struct table_node **at = bucket_of(table, node->hash);
	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->next = NULL;
	table->count--;
}

static struct table_node *same_hash(struct table_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct table_node *table_first(const struct table *table, uint64_t hash)
{
	return same_hash(*bucket_of(table, hash), hash);
}

struct table_node *table_next(const struct table_node *node)
{
	return same_hash(node->next, node->hash);
}

struct table_node *table_pop(struct table *table)
{
	if (table->count == 0)
		return NULL;
	while (!table->buckets[table->popped])
		table->popped++;
	struct table_node *node = table->buckets[table->popped];
	table_remove(table, node);
	return node;
}
