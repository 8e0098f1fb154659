/*
 * Which Redis servers have which keys, as a cluster or sentinels tell: shards, each of one master and its replicas. Plain data. What a server
 * says is bounded and checked.
 */
#ifndef CKFS_REDIS_TOPOLOGY_H
#define CKFS_REDIS_TOPOLOGY_H

#include "backend/redis/wire/connection.h"
#include "backend/redis/address/seeds.h"

#define SLOT_COUNT 16384

/* No server has this slot. */
#define SLOT_UNSERVED UINT16_MAX

#define SHARDS_MAX 1024

/* A master and its replicas. More replicas are ignored. */
#define SHARD_SERVERS_MAX 8

struct redis_shard {
	struct address servers[SHARD_SERVERS_MAX]; /* the master first */
	size_t count; /* >= 1 */
};

struct redis_topology {
	uint16_t shard_of[SLOT_COUNT]; /* index, or SLOT_UNSERVED; all 0 where there are no slots */
	struct redis_shard *shards;
	size_t count;
};

/* The slot of a key: CRC16 of the text between the first '{' and the next '}'; if there is no such text, of the whole key. */
unsigned topology_slot(const struct bytes *key);

/*
 * Reads the answer to CLUSTER SLOTS. `asked`: the address of the server that answers; an empty host in the answer means this one.
 * 0; -EIO makes no sense; -ENOMEM; errors of connection_head() and reply_errno().
 */
int topology_read_slots(struct redis_connection *connection, const struct address *asked, struct redis_topology *ret);

/* One shard for all keys, without any server yet. 0, -ENOMEM. */
int topology_single(struct redis_topology *ret);

/* Adds a replica, if there is room. */
void shard_add(struct redis_shard *shard, const struct address *address);

/* Whether both have the same master for each slot; with `replicas`, also the same replicas. */
bool topology_equal(const struct redis_topology *a, const struct redis_topology *b, bool replicas);

/* How often the master of a slot changed from a over b to c: the largest number among all slots, 0 to 2. */
unsigned topology_moves(const struct redis_topology *a, const struct redis_topology *b, const struct redis_topology *c);

/* Whether each slot has a server. Nobody tells where the keys of other slots are. */
bool topology_is_covered(const struct redis_topology *topology);

/* 0, -ENOMEM. */
int topology_copy(const struct redis_topology *topology, struct redis_topology *ret);

void topology_done(struct redis_topology *topology);

/* Whether an error only says that nobody answers. Any other error, of another server, tells more. */
static inline bool address_is_silent(int r)
{
	return r == -ECONNREFUSED || r == -ETIMEDOUT || r == -EHOSTUNREACH || r == -ENETUNREACH;
}

/* Reads "host:port", an IPv6 address without brackets; an empty host is that of `asked`. False: it is none. */
bool address_read(const char *text, const struct address *asked, struct address *ret);

#endif
