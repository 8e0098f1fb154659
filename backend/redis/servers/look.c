/* Looking at the topology: a cluster is asked for its slots, sentinels for the master of their service. */
#include "nodes.h"

#include "backend/redis/wire/nested.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Ask the next server if one takes longer than this. */
#define WAIT_MS 1000

/* After this time, ask no more servers. */
#define ALL_MS 2000

/* Before the mount serves, wait for so many servers that do not answer. */
#define TRIES 3

struct slots_look {
	struct address asked;
	struct redis_topology topology;
	int timeout_ms;
};

static int ask_slots(struct redis_connection *c, void *arg)
{
	struct slots_look *look = arg;
	int timeout_ms = c->stream.timeout_ms;
	c->stream.timeout_ms = timeout_ms < look->timeout_ms ? timeout_ms : look->timeout_ms;
	connection_put_text(c, "CLUSTER", "SLOTS", NULL);
	int r = connection_send(c);
	if (r == 0)
		r = topology_read_slots(c, &look->asked, &look->topology);
	c->stream.timeout_ms = timeout_ms;
	return r;
}

/* --- one server of a cluster --- */

static int complain(const struct address *at, int r, struct error *error)
{
	if (!error)
		return r;
	if (r == -EACCES)
		return error_set(error, r, "%.200s port %d: this user may not use CLUSTER SLOTS; grant +cluster|slots", at->host, at->port);
	if (r == -ETIMEDOUT)
		return error_set(error, r, "%.200s port %d: timed out", at->host, at->port);
	return error_set(error, -EIO, "%.200s port %d: this is no server of a cluster; " USE_SINGLE, at->host, at->port);
}

/* Over a connection that is closed again. */
static int ask_stranger(struct redis_nodes *n, struct slots_look *look, struct error *error)
{
	struct redis_target target = target_at(n->settings.login, &look->asked);
	struct redis_connection *c;
	struct error ignored;
	int r = connection_open(&target, n->settings.timeout_ms < look->timeout_ms ? n->settings.timeout_ms : look->timeout_ms, &c,
		error ? error : &ignored);
	if (r < 0)
		return r;
	r = ask_slots(c, look);
	connection_close(c);
	return r < 0 ? complain(&look->asked, r, error) : 0;
}

static int ask_server(struct redis_nodes *n, const struct address *address, struct slots_look *look, struct error *error)
{
	struct node_answer ignored;
	look->asked = *address;
	/* At the start there are no nodes yet. */
	struct redis_node *node = error ? NULL : nodes_find(n, address);
	int r = node ? node_ask(node, false, NULL, ask_slots, look, NULL, &ignored) : ask_stranger(n, look, error);
	nodes_release(n, node);
	if (r == 0 && look->topology.count == 0) {
		topology_done(&look->topology);
		r = error ? error_set(error, -EAGAIN, "%.200s port %d: the cluster serves no slots; is it set up?", address->host, address->port)
			  : -EAGAIN;
	}
	return r;
}

/* --- all of a cluster --- */

/* Adds one that is not there yet. */
static void add_candidate(struct address *all, size_t *count, const struct address *address)
{
	for (size_t i = 0; i < *count; i++)
		if (address_equal(&all[i], address))
			return;
	all[(*count)++] = *address;
}

/* Whom to ask, in this order: the server that knows more, those that work, those that SOURCE names, the others. */
static struct address *candidates_new(struct redis_nodes *n, const struct address *hint, size_t *ret_count)
{
	size_t count = 0;
	pthread_mutex_lock(&n->lock);
	const size_t readers = n->topology.count;
	struct address *all = calloc(1 + readers + n->seeds.count, sizeof *all);
	if (all && hint)
		add_candidate(all, &count, hint);
	n->turn++;
	for (size_t i = 0; all && i < readers; i++) {
		const struct redis_node *node = n->readers[(i + n->turn) % readers];
		if (!node->failing_since)
			add_candidate(all, &count, &node->address);
	}
	for (size_t i = 0; all && i < n->seeds.count; i++)
		add_candidate(all, &count, &n->seeds.servers[i]);
	for (size_t i = 0; all && i < readers; i++)
		if (n->readers[i]->failing_since)
			add_candidate(all, &count, &n->readers[i]->address);
	pthread_mutex_unlock(&n->lock);
	*ret_count = count;
	return all;
}

static int look_at_cluster(struct redis_nodes *n, const struct address *hint, struct error *error)
{
	const int64_t end = clock_ms() + (n->settings.timeout_ms < ALL_MS ? n->settings.timeout_ms : ALL_MS);
	/* Before the mount serves, wait for each. */
	struct slots_look *look = malloc(sizeof *look);
	size_t count = 0;
	struct address *candidates = candidates_new(n, hint, &count);
	int r = -EAGAIN;
	if (!candidates || !look) {
		free(candidates);
		free(look);
		return -ENOMEM;
	}
	look->timeout_ms = error ? n->settings.timeout_ms : WAIT_MS;
	struct error telling = {.text = ""};
	for (size_t i = 0; i < count; i++) {
		r = ask_server(n, &candidates[i], look, error);
		if (r == 0 || (!error && clock_ms() >= end))
			break;
		if (error && !address_is_silent(r))
			telling = *error;
	}
	if (r < 0 && *telling.text)
		*error = telling;
	if (r == 0)
		r = nodes_adopt(n, &look->topology);
	free(candidates);
	free(look);
	return r;
}

/* --- sentinels --- */

static int ask_role(struct redis_connection *c, void *arg)
{
	(void)arg;
	int timeout_ms = c->stream.timeout_ms;
	c->stream.timeout_ms = timeout_ms < WAIT_MS ? timeout_ms : WAIT_MS;
	int r = node_prepare_master(c);
	c->stream.timeout_ms = timeout_ms;
	return r;
}

/* Whether the server that is read is a master. A lost one is asked when there is a new connection to it. */
static void look_at_role(struct redis_nodes *n)
{
	struct redis_node *node = NULL;
	struct node_answer answer = {.asked = false};
	uint64_t epoch;
	if (n->from_replicas || nodes_pick(n, NULL, false, &node, &epoch) < 0)
		return;
	int r = node_is_failing(n, node) ? 0 : node_ask(node, false, NULL, ask_role, NULL, NULL, &answer);
	pthread_mutex_lock(&n->lock);
	if (answer.asked && !answer.broken)
		node->doubtful = r == -EAGAIN;
	node->refs--;
	pthread_mutex_unlock(&n->lock);
}

static int look_at_sentinels(struct redis_nodes *n, struct error *error)
{
	struct redis_topology topology;
	struct error ignored;
	int r = sentinels_ask(n->sentinels, n->from_replicas, &topology, error ? error : &ignored);
	if (r == 0)
		r = nodes_adopt(n, &topology);
	if (!error)
		look_at_role(n);
	return r;
}

/* --- */

/* Waits until nobody else is looking. False: somebody has looked since. The lock is held. */
static bool begin_look(struct redis_nodes *n, int64_t since)
{
	while (n->looking) {
		const int64_t end = clock_ms() + WAIT_MS;
		const struct timespec at = {.tv_sec = end / 1000, .tv_nsec = end % 1000 * 1000000};
		pthread_cond_timedwait(&n->looked, &n->lock, &at);
	}
	if (n->looked_at >= since)
		return false;
	n->looking = true;
	return true;
}

int nodes_look(struct redis_nodes *nodes, int64_t since, const struct address *hint, struct error *error)
{
	struct redis_nodes *n = nodes;
	if (!n->seeds.count)
		return 0;
	pthread_mutex_lock(&n->lock);
	bool begun = begin_look(n, since);
	int last = n->outcome;
	pthread_mutex_unlock(&n->lock);
	if (!begun)
		return last;
	int64_t now = clock_ms();
	int r = n->seeds.service ? look_at_sentinels(n, error) : look_at_cluster(n, hint, error);
	nodes_choose(n);
	pthread_mutex_lock(&n->lock);
	n->looking = false;
	/* Do not repeat a failed look at once, however long it has taken. */
	n->looked_at = r < 0 ? clock_ms() : now;
	n->outcome = r;
	pthread_cond_broadcast(&n->looked);
	pthread_mutex_unlock(&n->lock);
	return r;
}

/* --- the first look --- */

/*
 * Connects to one server, so that a mount that cannot work says so. The topology may give other names and ports than SOURCE: there servers may
 * be out of reach, or their certificates invalid.
 */
static int try_servers(struct redis_nodes *n, struct error *error)
{
	const int64_t end = clock_ms() + TRIES * (int64_t)n->settings.timeout_ms;
	struct redis_connection *c = NULL;
	struct node_list list;
	struct error reason;
	int failure = 0, r = nodes_list(n, &list);
	if (r < 0)
		return error_set(error, r, "no memory");
	for (size_t i = 0; !c && i < list.count && clock_ms() < end; i++) {
		r = connection_open(&list.nodes[i]->target, n->settings.timeout_ms, &c, &reason);
		if (r < 0 && (failure == 0 || (address_is_silent(failure) && !address_is_silent(r)))) {
			failure = r;
			*error = reason;
		}
	}
	node_list_done(n, &list);
	r = c ? 0 : failure;
	connection_close(c);
	return r;
}

static int open_single(struct redis_nodes *n, struct error *error)
{
	struct redis_topology topology;
	int r = topology_single(&topology);
	if (r == 0)
		topology.shards[0].count = 1;
	r = r < 0 ? r : nodes_adopt(n, &topology);
	return r < 0 ? error_set(error, r, "no memory") : try_servers(n, error);
}

int nodes_open(struct redis_nodes *nodes, struct error *error)
{
	struct redis_nodes *n = nodes;
	if (!n->seeds.count)
		return open_single(n, error);
	if (n->seeds.service) {
		n->sentinels = calloc(1, sizeof *n->sentinels);
		if (!n->sentinels)
			return error_set(error, -ENOMEM, "no memory");
		*n->sentinels = (struct sentinels){.seeds = &n->seeds, .login = n->settings.login, .timeout_ms = n->settings.timeout_ms};
	}
	int r = nodes_look(n, clock_ms(), NULL, error);
	if (r == 0)
		r = try_servers(n, error);
	if (n->sentinels)
		sentinels_rest(n->sentinels);
	if (r == -ENOMEM && !*error->text)
		error_set(error, r, "no memory");
	return r;
}
