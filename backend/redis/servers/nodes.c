/* All nodes, and which one is read for each slot. */
#include "nodes.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* After a failure, do not ask a replica for so many milliseconds. */
#define REST_MS 5000

void nodes_init(struct redis_nodes *nodes, const struct redis_target *login, struct redis_seeds *seeds, bool from_replicas, int timeout_ms,
	uint64_t seed, struct changes *changes)
{
	*nodes = (struct redis_nodes){
		.seeds = *seeds,
		.from_replicas = from_replicas,
		.settings = {.login = login, .timeout_ms = timeout_ms, .seed = seed, .changes = changes},
	};
	*seeds = (struct redis_seeds){0};
	if (from_replicas)
		nodes->settings.prepare = node_prepare_replica;
	else if (nodes->seeds.service)
		nodes->settings.prepare = node_prepare_master;
	pthread_mutex_init(&nodes->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&nodes->looked, &attr);
	pthread_condattr_destroy(&attr);
}

void nodes_stop(struct redis_nodes *nodes)
{
	pthread_mutex_lock(&nodes->lock);
	for (struct redis_node *node = nodes->all; node; node = node->next)
		listener_stop(&node->listener);
	pthread_mutex_unlock(&nodes->lock);
}

void nodes_done(struct redis_nodes *nodes)
{
	/* Stop all first, then wait for each: so they end at the same time. */
	nodes_stop(nodes);
	while (nodes->all) {
		struct redis_node *node = nodes->all;
		nodes->all = node->next;
		node_free(node);
	}
	if (nodes->sentinels)
		sentinels_rest(nodes->sentinels);
	free(nodes->sentinels);
	free(nodes->readers);
	topology_done(&nodes->topology);
	redis_seeds_done(&nodes->seeds);
	pthread_cond_destroy(&nodes->looked);
	pthread_mutex_destroy(&nodes->lock);
}

uint64_t nodes_hash(const struct redis_nodes *nodes, const void *key, size_t n)
{
	return XXH3_64bits_withSeed(key, n, nodes->settings.seed);
}

/* --- which one is read; the lock is held --- */

static struct redis_node *find(struct redis_nodes *n, const struct address *address)
{
	for (struct redis_node *node = n->all; node; node = node->next)
		if (!node->retired && address_equal(&node->address, address))
			return node;
	return NULL;
}

static struct redis_node *find_or_add(struct redis_nodes *n, const struct address *address)
{
	struct redis_node *node = find(n, address);
	if (node)
		return node;
	node = node_new(&n->settings, n->seeds.count ? address : NULL);
	if (node) {
		node->next = n->all;
		n->all = node;
	}
	return node;
}

static bool is_well(const struct redis_node *node)
{
	return !node || !node->failing_since || clock_ms() - node->failed_at > REST_MS;
}

/* The server of a shard that is to be read. `now`: the one that is read so far; NULL: none. */
static const struct address *choose(struct redis_nodes *n, const struct redis_shard *shard, const struct redis_node *now)
{
	if (!n->from_replicas)
		return &shard->servers[0];
	for (size_t i = 1; now && i < shard->count; i++)
		if (address_equal(&now->address, &shard->servers[i]) && is_well(now))
			return &shard->servers[i];
	/* Each mount begins with another replica. */
	for (size_t i = 1; i < shard->count; i++) {
		const struct address *address = &shard->servers[1 + (n->settings.seed + i) % (shard->count - 1)];
		if (is_well(find(n, address)))
			return address;
	}
	return &shard->servers[0];
}

/* The reader of each shard of a topology. NULL: no memory. */
static struct redis_node **readers_new(struct redis_nodes *n, const struct redis_topology *topology)
{
	struct redis_node **readers = calloc(topology->count + 1, sizeof(struct redis_node *));
	for (size_t i = 0; readers && i < topology->count; i++) {
		const struct redis_shard *shard = &topology->shards[i];
		const struct redis_node *now = NULL;
		for (size_t j = 0; n->readers && j < n->topology.count && !now; j++)
			if (address_equal(&n->topology.shards[j].servers[0], &shard->servers[0]))
				now = n->readers[j];
		readers[i] = find_or_add(n, choose(n, shard, now));
		if (!readers[i]) {
			free(readers);
			return NULL;
		}
	}
	return readers;
}

/* All keys count as changed now. */
static void begin_epoch(struct redis_nodes *n)
{
	n->epoch++;
	/* Do this under the lock: who finds the new nodes must find no old knowledge. */
	changes_note_all(n->settings.changes);
}

static bool is_in(const struct redis_topology *topology, const struct address *address)
{
	for (size_t i = 0; i < topology->count; i++)
		for (size_t j = 0; j < topology->shards[i].count; j++)
			if (address_equal(&topology->shards[i].servers[j], address))
				return true;
	return false;
}

/* Frees the nodes that are not in the topology, once nobody uses them. */
static void retire(struct redis_nodes *n)
{
	for (struct redis_node **at = &n->all, *node; (node = *at) != NULL;) {
		if (!node->retired && !is_in(&n->topology, &node->address)) {
			node->retired = true;
			node->refs--;
			listener_stop(&node->listener);
		}
		if (node->retired && node->refs == 0 && listener_has_ended(&node->listener)) {
			*at = node->next;
			node_free(node);
		} else {
			at = &node->next;
		}
	}
}

/* --- */

void nodes_choose(struct redis_nodes *nodes)
{
	pthread_mutex_lock(&nodes->lock);
	struct redis_node **readers = nodes->from_replicas ? readers_new(nodes, &nodes->topology) : NULL;
	if (readers && nodes->readers && memcmp(readers, nodes->readers, nodes->topology.count * sizeof(struct redis_node *)) != 0) {
		struct redis_node **before = nodes->readers;
		nodes->readers = readers;
		readers = before;
		begin_epoch(nodes);
	}
	free(readers);
	retire(nodes);
	pthread_mutex_unlock(&nodes->lock);
}

int nodes_adopt(struct redis_nodes *nodes, struct redis_topology *topology)
{
	pthread_mutex_lock(&nodes->lock);
	int r = 0;
	if (nodes->epoch == 0 || !topology_equal(&nodes->topology, topology, nodes->from_replicas)) {
		struct redis_node **readers = readers_new(nodes, topology);
		r = readers ? 0 : -ENOMEM;
		if (r == 0) {
			topology_done(&nodes->topology);
			free(nodes->readers);
			nodes->topology = *topology;
			nodes->readers = readers;
			nodes->unserved_since = 0;
			topology->shards = NULL;
			begin_epoch(nodes);
			retire(nodes);
		}
	}
	pthread_mutex_unlock(&nodes->lock);
	topology_done(topology);
	return r;
}

struct redis_node *nodes_find(struct redis_nodes *nodes, const struct address *address)
{
	pthread_mutex_lock(&nodes->lock);
	struct redis_node *node = find(nodes, address);
	if (node)
		node->refs++;
	pthread_mutex_unlock(&nodes->lock);
	return node;
}

static unsigned slot_of(const struct redis_nodes *n, const struct bytes *name)
{
	return name && !n->seeds.service ? topology_slot(name) : 0;
}

/* NULL: nobody has the slot. The lock is held. */
static struct redis_node *reader_of(struct redis_nodes *n, unsigned slot, bool master)
{
	uint16_t shard = n->topology.shard_of[slot];
	if (shard == SLOT_UNSERVED)
		return NULL;
	return master && n->from_replicas ? find_or_add(n, &n->topology.shards[shard].servers[0]) : n->readers[shard];
}

bool nodes_still_read(struct redis_nodes *nodes, const struct bytes *name, bool master, const struct redis_node *node,
	int64_t *ret_looked_at)
{
	unsigned slot = slot_of(nodes, name);
	pthread_mutex_lock(&nodes->lock);
	bool still = reader_of(nodes, slot, master) == node && !node->doubtful;
	*ret_looked_at = nodes->looked_at;
	pthread_mutex_unlock(&nodes->lock);
	return still;
}

int nodes_pick(struct redis_nodes *nodes, const struct bytes *name, bool master, struct redis_node **ret, uint64_t *ret_epoch)
{
	unsigned slot = slot_of(nodes, name);
	pthread_mutex_lock(&nodes->lock);
	struct redis_node *node = reader_of(nodes, slot, master);
	if (node)
		node->refs++;
	*ret_epoch = nodes->epoch;
	pthread_mutex_unlock(&nodes->lock);
	if (!node)
		return -EAGAIN;
	*ret = node;
	return 0;
}

struct redis_node *nodes_of_round(struct redis_nodes *nodes, uint64_t round)
{
	pthread_mutex_lock(&nodes->lock);
	struct redis_node *node = nodes->all;
	while (node && (node->retired || !listener_is_in(&node->listener, round)))
		node = node->next;
	if (node)
		node->refs++;
	pthread_mutex_unlock(&nodes->lock);
	return node;
}

void nodes_release(struct redis_nodes *nodes, struct redis_node *node)
{
	if (!node)
		return;
	pthread_mutex_lock(&nodes->lock);
	node->refs--;
	pthread_mutex_unlock(&nodes->lock);
}

bool nodes_is_on(struct redis_nodes *nodes, uint64_t round)
{
	struct redis_node *node = round ? nodes_of_round(nodes, round) : NULL;
	nodes_release(nodes, node);
	return node;
}

bool node_is_failing(struct redis_nodes *nodes, const struct redis_node *node)
{
	pthread_mutex_lock(&nodes->lock);
	bool is = node->failing_since != 0;
	pthread_mutex_unlock(&nodes->lock);
	return is;
}

/* --- lists --- */

int nodes_list(struct redis_nodes *nodes, struct node_list *ret)
{
	struct node_list list = {0};
	pthread_mutex_lock(&nodes->lock);
	int r = topology_copy(&nodes->topology, &list.topology);
	list.nodes = calloc(nodes->topology.count + 1, sizeof *list.nodes);
	if (r == 0 && list.nodes) {
		list.count = nodes->topology.count;
		list.epoch = nodes->epoch;
		for (size_t i = 0; i < list.count; i++) {
			list.nodes[i] = nodes->readers[i];
			list.nodes[i]->refs++;
		}
	}
	pthread_mutex_unlock(&nodes->lock);
	if (r == 0 && !list.nodes)
		r = -ENOMEM;
	if (r < 0)
		node_list_done(nodes, &list);
	else
		*ret = list;
	return r;
}

int node_list_add(struct redis_nodes *nodes, struct node_list *list, const struct address *address)
{
	if (list->count >= SHARDS_MAX)
		return -EIO;
	struct redis_node **grown = realloc(list->nodes, (list->count + 1) * sizeof(struct redis_node *));
	if (!grown)
		return -ENOMEM;
	list->nodes = grown;
	struct redis_node *node = node_new(&nodes->settings, address);
	if (!node)
		return -ENOMEM;
	/* This node is only in the list: nobody else finds it, and it has no listener. */
	node->retired = true;
	listener_stop(&node->listener);
	list->nodes[list->count++] = node;
	pthread_mutex_lock(&nodes->lock);
	node->next = nodes->all;
	nodes->all = node;
	pthread_mutex_unlock(&nodes->lock);
	return 0;
}

void node_list_done(struct redis_nodes *nodes, struct node_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		nodes_release(nodes, list->nodes[i]);
	free(list->nodes);
	topology_done(&list->topology);
	*list = (struct node_list){0};
}
