#include "server.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/table.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

/* --- which process --- */

struct process {
	uint64_t pid, start, connections;
};

static struct process last_process(struct mc_server *server)
{
	LOCK(&server->lock);
	return (struct process){server->pid, server->start, server->connections};
}

/* `before`: the process as it was known before the connection was made, which counts as one more. */
static uint64_t note_process(struct mc_server *server, const struct process *before, const struct mc_server_facts *facts)
{
	const uint64_t start = facts->time - facts->uptime;
	LOCK(&server->lock);
	const bool looks_same = facts->pid == before->pid && start == before->start;
	const bool is_known = facts->pid == server->pid && start == server->start;
	if (looks_same && facts->connections <= before->connections) {
		atomic_fetch_add(&server->restarts, 1);
		server->connections = 0;
	}
	if (!is_known)
		server->connections = 0;
	server->pid = facts->pid;
	server->start = start;
	if (facts->connections > server->connections)
		server->connections = facts->connections;
	const uint64_t identity[] = {XXH3_64bits_withSeed(server->node->name, strlen(server->node->name), server->seed), facts->pid, start,
		atomic_load(&server->restarts)};
	return XXH3_64bits_withSeed(identity, sizeof identity, server->seed);
}

/* --- connections --- */

int mc_server_connect(struct mc_server *server, struct mc_connection **ret, struct error *error)
{
	struct mc_server_facts facts;
	struct mc_connection *c;
	const struct process before = last_process(server);
	int r = mc_connection_open(&server->node->at, &server->login, server->pool.timeout_ms, server->pool.stop, &facts, &c, error);
	if (r < 0)
		return r;
	c->process = note_process(server, &before, &facts);
	c->pooled.era = atomic_load(&server->restarts);
	atomic_store(&server->no_cas, facts.no_cas);
	atomic_store(&server->no_dump, facts.no_dump);
	atomic_store(&server->is_early, facts.is_early);
	c->ahead = (int64_t)facts.time - clock_unix();
	atomic_store(&server->item_max, facts.item_max);
	*ret = c;
	return 0;
}

static int open_one(struct pool *pool, struct pooled **ret, struct error *error)
{
	struct mc_connection *c;
	int r = mc_server_connect(container_of(pool, struct mc_server, pool), &c, error);
	if (r == 0)
		*ret = &c->pooled;
	/* Nobody who reads a file needs to be told more than that it cannot be. */
	return r == -EPROTONOSUPPORT ? -EIO : r;
}

static void close_one(struct pooled *pooled)
{
	mc_connection_close(mc_connection_of(pooled));
}

static bool is_clean(const struct pooled *pooled)
{
	const struct mc_connection *c = (const struct mc_connection *)pooled;
	return !c->owes && stream_is_clean(&c->stream);
}

static void lend(struct pooled *pooled, const atomic_bool *cancel, atomic_uint_least64_t *progress)
{
	struct mc_connection *c = mc_connection_of(pooled);
	stream_set_cancel(&c->stream, cancel);
	c->stream.progress = progress;
}

static uint64_t era(struct pool *pool, bool first)
{
	(void)first;
	return atomic_load(&container_of(pool, struct mc_server, pool)->restarts);
}

static const struct pool_ops pool_ops = {.open = open_one, .close = close_one, .is_clean = is_clean, .lend = lend, .era = era};

void mc_server_init(struct mc_server *server, const struct mc_node *node, const struct mc_login *login, uint64_t seed, int timeout_ms,
	const atomic_bool *stop)
{
	*server = (struct mc_server){.node = node, .login = *login, .seed = seed};
	pthread_mutex_init(&server->lock, NULL);
	silence_init(&server->silence);
	pool_init(&server->pool, &pool_ops, node->name, timeout_ms, stop, login->password_file);
}

void mc_server_done(struct mc_server *server)
{
	pool_done(&server->pool);
	silence_done(&server->silence);
	pthread_mutex_destroy(&server->lock);
}

int mc_server_ask(struct mc_server *server, int (*ask)(struct pooled *connection, void *arg), void *arg, const atomic_bool *cancel)
{
	struct silence_visit visit;
	int r = silence_enter(&server->silence, &server->pool, &visit);
	if (r < 0)
		return r;
	r = pool_ask(&server->pool, NULL, ask, arg, cancel);
	if (r == -ECONNRESET)
		r = pool_ask(&server->pool, NULL, ask, arg, cancel);
	silence_leave(&server->silence, &server->pool, &visit, r);
	/* A lost connection is no answer. */
	return r == -ECONNRESET ? -EIO : r;
}
