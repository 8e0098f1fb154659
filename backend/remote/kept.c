#include "kept.h"

#include <errno.h>
#include <stdlib.h>

int kept_init(struct kept *kept, size_t size, size_t count_max, uint64_t bytes_max, void (*free_node)(struct kept_node *node))
{
	*kept = (struct kept){.free_node = free_node, .size = size, .count_max = count_max, .bytes_max = bytes_max};
	pthread_mutex_init(&kept->lock, NULL);
	return table_init(&kept->table);
}

static void unlink_node(struct kept *kept, struct kept_node *n)
{
	*(n->newer ? &n->newer->older : &kept->newest) = n->older;
	*(n->older ? &n->older->newer : &kept->oldest) = n->newer;
}

static void link_newest(struct kept *kept, struct kept_node *n)
{
	n->newer = NULL;
	n->older = kept->newest;
	*(n->older ? &n->older->newer : &kept->oldest) = n;
	kept->newest = n;
}

void kept_drop(struct kept *kept, struct kept_node *n)
{
	kept->bytes -= n->bytes;
	unlink_node(kept, n);
	table_remove(&kept->table, &n->node);
	kept->free_node(n);
}

void kept_done(struct kept *kept)
{
	while (kept->oldest)
		kept_drop(kept, kept->oldest);
	table_done(&kept->table);
	pthread_mutex_destroy(&kept->lock);
}

struct kept_node *kept_find(struct kept *kept, const struct key_hash *hash)
{
	struct table_node *node = table_first(&kept->table, key_hash_short(hash));
	for (; node; node = table_next(node)) {
		struct kept_node *n = container_of(node, struct kept_node, node);
		if (key_hash_equal(&n->hash, hash)) {
			unlink_node(kept, n);
			link_newest(kept, n);
			return n;
		}
	}
	return NULL;
}

struct kept_node *kept_find_or_add(struct kept *kept, const struct key_hash *hash)
{
	struct kept_node *n = kept_find(kept, hash);
	if (n)
		return n;
	n = calloc(1, kept->size);
	if (!n)
		return NULL;
	n->hash = *hash;
	table_add(&kept->table, &n->node, key_hash_short(hash));
	link_newest(kept, n);
	return n;
}

void kept_charge(struct kept *kept, struct kept_node *node, uint64_t bytes)
{
	kept->bytes += bytes - node->bytes;
	node->bytes = bytes;
	while (kept->table.count > kept->count_max || kept->bytes > kept->bytes_max)
		kept_drop(kept, kept->oldest);
}
