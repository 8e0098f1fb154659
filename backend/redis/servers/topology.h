/*
 * Which Redis servers have which keys, as a cluster or sentinels tell it: shards of one master and its replicas each. Plain data; what
 * a server says is bounded and checked.
 */
#ifndef CKFS_REDIS_TOPOLOGY_H
#define CKFS_REDIS_TOPOLOGY_H

#include "redis_connection.h"
#include "redis_seeds.h"

#define SLOT_COUNT 16384

/* No server has this slot. */
#define SLOT_UNSERVED UINT16_MAX

#define SHARDS_MAX 1024

/* A master and its replicas; more of these are not looked at. */
#define SHARD_SERVERS_MAX 8

struct redis_shard {
	struct redis_address servers[SHARD_SERVERS_MAX]; /* the master first */
	size_t count; /* >= 1 */
};

struct redis_topology {
	uint16_t shard_of[SLOT_COUNT]; /* index, or SLOT_UNSERVED; all 0 where there are no slots */
	struct redis_shard *shards;
	size_t count;
};

/* The slot of a key: CRC16 of what is between the first '{' and the next '}', unless that is nothing; else of all of it. */
unsigned topology_slot(const struct bytes *key);

/*
 * Reads the answer to CLUSTER SLOTS. `asked`: who answers, by what name it was reached; an empty host means that.
 * 0; -EIO makes no sense; -ENOMEM; errors of connection_head() and reply_errno().
 */
int topology_read_slots(struct redis_connection *connection, const struct redis_address *asked, struct redis_topology *ret);

/* One shard for all keys, without any server yet. 0, -ENOMEM. */
int topology_single(struct redis_topology *ret);

/* Adds a replica, if there is room. */
void shard_add(struct redis_shard *shard, const struct redis_address *address);

/* Whether both say the same of each slot's master, and with `replicas` of its replicas. */
bool topology_equal(const struct redis_topology *a, const struct redis_topology *b, bool replicas);

/* Of all slots the most that one's master changed from a over b to c: 0 to 2. */
unsigned topology_moves(const struct redis_topology *a, const struct redis_topology *b, const struct redis_topology *c);

/* Whether each slot has a server. Keys of the others may be somewhere, but nobody tells. */
bool topology_is_covered(const struct redis_topology *topology);

/* 0, -ENOMEM. */
int topology_copy(const struct redis_topology *topology, struct redis_topology *ret);

void topology_done(struct redis_topology *topology);

/* Whether an error says that nobody answers there: any other one, of another server, tells more. */
static inline bool address_is_silent(int r)
{
	return r == -ECONNREFUSED || r == -ETIMEDOUT || r == -EHOSTUNREACH || r == -ENETUNREACH;
}

bool address_equal(const struct redis_address *a, const struct redis_address *b);

/* Reads "host:port", an IPv6 address without brackets; an empty host is that of `asked`. False: it is none. */
bool address_read(const char *text, const struct redis_address *asked, struct redis_address *ret);

#endif
