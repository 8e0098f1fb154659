/*
 * SENTINEL MASTER service: [name, value…] of strings, among them ip, port and config-epoch, the number of the last failover.
 * SENTINEL REPLICAS service: an array of the same for each replica.
 */
#include "sentinels.h"

#include "backend/redis/wire/nested.h"
#include "node.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_SENTINEL "this is no sentinel"

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 10000

/* Ask the next sentinel if one takes longer than this. */
#define WAIT_MS 1000

#define FIELDS_MAX 256
#define REPLICAS_MAX 1024

/* What a sentinel says of one server. */
struct description {
	struct address address;
	uint64_t epoch;
	bool is_down; /* the sentinel cannot reach it, or it cannot reach its master */
};

static void read_field(const char *name, const char *value, struct description *d)
{
	if (strcmp(name, "ip") == 0)
		strcpy(d->address.host, value);
	else if (strcmp(name, "port") == 0)
		d->address.port = (int)strtol(value, NULL, 10);
	else if (strcmp(name, "config-epoch") == 0)
		d->epoch = strtoull(value, NULL, 10);
	else if (strcmp(name, "flags") == 0)
		d->is_down |= strstr(value, "down") || strstr(value, "disconnected");
	else if (strcmp(name, "master-link-status") == 0)
		d->is_down |= strcmp(value, "ok") != 0;
}

/* 0; -EPROTO there is no address in it. */
static int read_description(struct redis_connection *c, struct description *ret)
{
	char name[32], value[HOST_MAX];
	int64_t count;
	*ret = (struct description){.epoch = 0};
	int r = connection_array(c, &count);
	if (r == 0 && (count % 2 || count > FIELDS_MAX))
		r = -EIO;
	for (int64_t i = 0; r == 0 && i < count; i += 2) {
		r = nested_text(c, name, sizeof name);
		if (r == 0)
			r = nested_text(c, value, sizeof value);
		if (r == 0)
			read_field(name, value, ret);
	}
	if (r == 0 && (!*ret->address.host || ret->address.port < 1 || ret->address.port > 65535))
		r = -EPROTO;
	return r;
}

static int read_replicas(struct redis_connection *c, struct redis_shard *shard)
{
	struct description replica;
	int64_t count;
	int r = connection_array(c, &count);
	if (r == 0 && count > REPLICAS_MAX)
		r = -EPROTO;
	for (int64_t i = 0; r == 0 && i < count; i++) {
		r = read_description(c, &replica);
		if (r == 0 && !replica.is_down)
			shard_add(shard, &replica.address);
	}
	return r;
}

/* Reads what a sentinel says. -ESRCH: it does not know the service, which is no statement about keys. */
static int ask(struct redis_connection *c, const char *service, bool replicas, struct redis_shard *ret, uint64_t *ret_epoch)
{
	struct description master;
	struct redis_shard shard = {.count = 1};
	connection_put_text(c, "SENTINEL", "MASTER", service, NULL);
	if (replicas)
		connection_put_text(c, "SENTINEL", "REPLICAS", service, NULL);
	int r = connection_send(c);
	if (r == 0)
		r = read_description(c, &master);
	/* The connection is whole, so this error is "ERR No such master with that name". */
	if (r < 0)
		return r == -EIO && !c->stream.broken && c->nested == 0 ? -ESRCH : r;
	shard.servers[0] = master.address;
	r = replicas ? read_replicas(c, &shard) : 0;
	if (r == 0) {
		*ret = shard;
		*ret_epoch = master.epoch;
	}
	return r;
}

/* A sentinel may have no password though the servers have one, or the same one. */
static int open_one(const struct sentinels *s, size_t i, struct redis_connection **ret, struct error *error)
{
	struct redis_target target = target_at(s->login, &s->seeds->servers[i]), plain = target;
	int timeout_ms = s->timeout_ms < WAIT_MS ? s->timeout_ms : WAIT_MS;
	target.is_sentinel = plain.is_sentinel = true;
	target.db = plain.db = 0;
	plain.user = plain.password = NULL;
	plain.password_file = NULL;
	int r = connection_open(&plain, timeout_ms, ret, error);
	if (r == -EACCES && redis_target_has_password(&target))
		r = connection_open(&target, timeout_ms, ret, error);
	return r;
}

static int complain(const struct sentinels *s, size_t i, int r, struct error *error)
{
	const struct address *at = &s->seeds->servers[i];
	if (r == -ESRCH)
		return error_set(error, r, "%.200s port %d: the sentinel knows no service \"%.100s\"", at->host, at->port, s->seeds->service);
	if (r == -ENOSYS)
		return error_set(error, -EIO, "%.200s port %d: " NO_SENTINEL "; " USE_SINGLE, at->host, at->port);
	if (r == -EACCES)
		return error_set(error, r, "%.200s port %d: this user may not use SENTINEL MASTER", at->host, at->port);
	return error_set(error, r == -ECONNRESET || r == -EPROTO ? -EIO : r, "%.200s port %d: %s", at->host, at->port,
		r == -ETIMEDOUT ? "timed out; is this a sentinel?" : NO_SENTINEL);
}

static void close_one(struct sentinel *one)
{
	connection_close(one->connection);
	one->connection = NULL;
}

/* Asks one sentinel. If the kept connection is dead, uses a new one. */
static int ask_one(struct sentinels *s, size_t i, bool replicas, struct redis_shard *ret, uint64_t *ret_epoch, struct error *error)
{
	struct sentinel *one = &s->each[i];
	int r = -ECONNRESET;
	if (one->connection)
		r = ask(one->connection, s->seeds->service, replicas, ret, ret_epoch);
	if (r == -ECONNRESET) {
		close_one(one);
		r = open_one(s, i, &one->connection, error);
		if (r < 0)
			return r;
		r = ask(one->connection, s->seeds->service, replicas, ret, ret_epoch);
	}
	if (r < 0)
		r = complain(s, i, r, error);
	if (!connection_is_clean(one->connection))
		close_one(one);
	return r;
}

static void note_outcome(struct sentinel *one, int r)
{
	one->pause = r == 0 ? 0 : one->pause == 0 ? PAUSE_MIN_MS : one->pause * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : one->pause * 2;
	one->retry_at = clock_ms() + one->pause;
}

/*
 * Whether any sentinel has told of a later failover. If it does not answer now, what it told still holds: others may not have heard of it.
 * A sentinel that was set up anew says so itself.
 */
static bool is_overtaken(const struct sentinels *s, uint64_t epoch)
{
	for (size_t i = 0; i < s->seeds->count; i++)
		if (s->each[i].epoch > epoch)
			return true;
	return false;
}

int sentinels_ask(struct sentinels *s, bool replicas, struct redis_topology *ret, struct error *error)
{
	struct redis_shard shard, best = {.count = 0};
	uint64_t epoch, best_epoch = 0;
	struct error reason;
	int failure = error_set(error, -EAGAIN, "no sentinel answers");
	for (size_t i = 0; i < s->seeds->count; i++) {
		if (clock_ms() < s->each[i].retry_at)
			continue;
		int r = ask_one(s, i, replicas, &shard, &epoch, &reason);
		note_outcome(&s->each[i], r);
		if (r < 0 && (failure == -EAGAIN || !address_is_silent(r))) {
			failure = r;
			*error = reason;
		}
		/* A sentinel that does not know the service takes back what it has told. */
		if (r == -ESRCH)
			s->each[i].epoch = 0;
		if (r < 0)
			continue;
		s->each[i].epoch = epoch;
		if (best.count > 0 && epoch <= best_epoch)
			continue;
		best = shard;
		best_epoch = epoch;
	}
	if (best.count == 0)
		return failure == -ESRCH ? -EIO : failure;
	if (is_overtaken(s, best_epoch))
		return error_set(error, -EAGAIN, "the sentinel that knows of the latest failover does not answer, and the others do not know of it");
	int r = topology_single(ret);
	if (r < 0)
		return error_set(error, r, "no memory");
	ret->shards[0] = best;
	return 0;
}

void sentinels_rest(struct sentinels *s)
{
	for (size_t i = 0; i < s->seeds->count; i++) {
		close_one(&s->each[i]);
		s->each[i] = (struct sentinel){.epoch = s->each[i].epoch};
	}
}
