/*
 * CLUSTER SLOTS:
 *
 *   [[first slot, last slot, master, replica…]…]
 *   a server: [host or nil, port, id, [more]…]
 */
#include "topology.h"

#include "backend/redis/wire/nested.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Limits for the servers of a range, and for the parts of one server. No cluster has more. */
#define RANGE_SERVERS_MAX 128
#define SERVER_PARTS_MAX 64

/* Bits of CRC-16/XMODEM. */
#define POLYNOMIAL 0x1021

static uint16_t crc16(const uint8_t *p, size_t n)
{
	uint16_t crc = 0;
	for (size_t i = 0; i < n; i++) {
		crc ^= (uint16_t)(p[i] << 8);
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ POLYNOMIAL : crc << 1);
	}
	return crc;
}

unsigned topology_slot(const struct bytes *key)
{
	const uint8_t *open = key->left ? memchr(key->p, '{', key->left) : NULL;
	const uint8_t *close = open ? memchr(open, '}', (size_t)(key->p + key->left - open)) : NULL;
	if (close && close > open + 1)
		return crc16(open + 1, (size_t)(close - open - 1)) % SLOT_COUNT;
	return crc16(key->p, key->left) % SLOT_COUNT;
}

bool address_read(const char *text, const struct address *asked, struct address *ret)
{
	const char *colon = strrchr(text, ':');
	char *end;
	if (!colon || (size_t)(colon - text) >= sizeof ret->host || colon[1] < '1' || colon[1] > '9')
		return false;
	long port = strtol(colon + 1, &end, 10);
	if (*end || port > 65535)
		return false;
	*ret = (struct address){.port = (int)port};
	memcpy(ret->host, colon == text ? asked->host : text, colon == text ? strlen(asked->host) : (size_t)(colon - text));
	return true;
}

/* --- making one --- */

static int grow(struct redis_topology *t)
{
	/* Double the memory when a power of two is full. */
	if (t->count & (t->count - 1))
		return 0;
	struct redis_shard *shards = realloc(t->shards, (t->count ? t->count * 2 : 1) * sizeof *shards);
	if (!shards)
		return -ENOMEM;
	t->shards = shards;
	return 0;
}

/* The shard of a master, which is added when it is new. Index, -ENOMEM, -EIO too many. */
static int shard_of(struct redis_topology *t, const struct address *master)
{
	for (size_t i = 0; i < t->count; i++)
		if (address_equal(&t->shards[i].servers[0], master))
			return (int)i;
	if (t->count == SHARDS_MAX)
		return -EIO;
	int r = grow(t);
	if (r < 0)
		return r;
	t->shards[t->count] = (struct redis_shard){.servers = {*master}, .count = 1};
	return (int)t->count++;
}

void shard_add(struct redis_shard *shard, const struct address *address)
{
	for (size_t i = 0; i < shard->count; i++)
		if (address_equal(&shard->servers[i], address))
			return;
	if (shard->count < SHARD_SERVERS_MAX)
		shard->servers[shard->count++] = *address;
}

int topology_single(struct redis_topology *ret)
{
	*ret = (struct redis_topology){.shards = calloc(1, sizeof *ret->shards), .count = 1};
	return ret->shards ? 0 : -ENOMEM;
}

bool topology_is_covered(const struct redis_topology *topology)
{
	for (size_t i = 0; i < SLOT_COUNT; i++)
		if (topology->shard_of[i] == SLOT_UNSERVED)
			return false;
	return true;
}

int topology_copy(const struct redis_topology *topology, struct redis_topology *ret)
{
	struct redis_shard *shards = malloc((topology->count + 1) * sizeof *shards);
	if (!shards)
		return -ENOMEM;
	memcpy(shards, topology->shards, topology->count * sizeof *shards);
	*ret = *topology;
	ret->shards = shards;
	return 0;
}

void topology_done(struct redis_topology *topology)
{
	free(topology->shards);
	topology->shards = NULL;
	topology->count = 0;
}

/* --- CLUSTER SLOTS --- */

/* One server. *ret with port 0: its address is not known. */
static int read_server(struct redis_connection *c, const struct address *asked, struct address *ret)
{
	int64_t count, port = 0;
	int r = connection_array(c, &count);
	if (r == 0 && (count < 2 || count > SERVER_PARTS_MAX))
		r = -EIO;
	*ret = (struct address){0};
	if (r == 0)
		r = nested_text(c, ret->host, sizeof ret->host);
	if (r == 0)
		r = connection_integer(c, &port);
	if (r == 0)
		r = nested_skip_rest(c, count - 2);
	if (r < 0)
		return r;
	if (!*ret->host)
		*ret = *asked;
	/* The server has to be reached by a name, but has none. */
	ret->port = port < 0 || port > 65535 || strcmp(ret->host, "?") == 0 ? 0 : (int)port;
	return 0;
}

/* *slots: the number of slots so far; this range is added. */
static int read_range(struct redis_connection *c, const struct address *asked, struct redis_topology *t, int64_t *slots)
{
	struct address server;
	int64_t count, first = 0, last = 0;
	int shard = -1;
	int r = connection_array(c, &count);
	if (r == 0 && (count < 3 || count > 2 + RANGE_SERVERS_MAX))
		r = -EIO;
	if (r == 0)
		r = connection_integer(c, &first);
	if (r == 0)
		r = connection_integer(c, &last);
	if (r == 0 && (first < 0 || last < first || last >= SLOT_COUNT || (*slots += last - first + 1) > SLOT_COUNT))
		r = -EIO;
	for (int64_t i = 2; r == 0 && i < count; i++) {
		r = read_server(c, asked, &server);
		if (r < 0 || server.port == 0)
			continue;
		if (i == 2)
			r = shard = shard_of(t, &server);
		else if (shard >= 0)
			shard_add(&t->shards[shard], &server);
		r = r < 0 ? r : 0;
	}
	for (int64_t slot = first; r == 0 && shard >= 0 && slot <= last; slot++)
		t->shard_of[slot] = (uint16_t)shard;
	return r;
}

int topology_read_slots(struct redis_connection *c, const struct address *asked, struct redis_topology *ret)
{
	struct redis_topology t = {0};
	int64_t count, slots = 0;
	memset(t.shard_of, 0xff, sizeof t.shard_of);
	int r = connection_array(c, &count);
	if (r == 0 && count > SLOT_COUNT)
		r = -EIO;
	for (int64_t i = 0; r == 0 && i < count; i++)
		r = read_range(c, asked, &t, &slots);
	if (r < 0)
		topology_done(&t);
	else
		*ret = t;
	return r;
}

/* --- comparing --- */

static bool shard_has(const struct redis_shard *shard, const struct address *address)
{
	for (size_t i = 0; i < shard->count; i++)
		if (address_equal(&shard->servers[i], address))
			return true;
	return false;
}

static bool shard_equal(const struct redis_shard *a, const struct redis_shard *b, bool replicas)
{
	if (!address_equal(&a->servers[0], &b->servers[0]))
		return false;
	if (!replicas)
		return true;
	/* No server is in a shard twice. */
	for (size_t i = 1; i < a->count; i++)
		if (!shard_has(b, &a->servers[i]))
			return false;
	return a->count == b->count;
}

bool topology_equal(const struct redis_topology *a, const struct redis_topology *b, bool replicas)
{
	/* Shards come in any order: find for each one of a the one of b. */
	uint16_t pair[SHARDS_MAX];
	memset(pair, 0xff, sizeof pair);
	if (a->count != b->count)
		return false;
	for (size_t slot = 0; slot < SLOT_COUNT; slot++) {
		uint16_t x = a->shard_of[slot], y = b->shard_of[slot];
		if (x == SLOT_UNSERVED || y == SLOT_UNSERVED) {
			if (x != y)
				return false;
			continue;
		}
		if (pair[x] == SLOT_UNSERVED && shard_equal(&a->shards[x], &b->shards[y], replicas))
			pair[x] = y;
		if (pair[x] != y)
			return false;
	}
	return true;
}

static bool same_master(const struct redis_topology *a, const struct redis_topology *b, size_t slot)
{
	uint16_t x = a->shard_of[slot], y = b->shard_of[slot];
	if (x == SLOT_UNSERVED || y == SLOT_UNSERVED)
		return x == y;
	return address_equal(&a->shards[x].servers[0], &b->shards[y].servers[0]);
}

unsigned topology_moves(const struct redis_topology *a, const struct redis_topology *b, const struct redis_topology *c)
{
	unsigned most = 0;
	for (size_t slot = 0; slot < SLOT_COUNT; slot++) {
		unsigned moves = (unsigned)!same_master(a, b, slot) + (unsigned)!same_master(b, c, slot);
		most = moves > most ? moves : most;
	}
	return most;
}
