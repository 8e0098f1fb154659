/* Asks for a key, whichever server has it, also while slots move and servers are lost. Confirming an answer is here too: it asks who owns the key in the same way. */
#include "nodes.h"

#include "backend/redis/wire/nested.h"

#include "ckfs/clock.h"
#include "ckfs/event.h"

#include <errno.h>
#include <string.h>

/* Between tries, milliseconds. */
#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 200

/*
 * A slower answer may come from a process that was stopped for a while, and was replaced meanwhile. It counts only if a second answer says
 * the same.
 */
#define SLOW_MS 500

/* Follow so many redirections in a row without a pause. */
#define REDIRECTS_MAX 8

/* One request. */
struct attempt {
	struct redis_nodes *nodes;
	const struct bytes *name; /* NULL: none in particular */
	int (*ask)(struct redis_connection *connection, void *arg);
	void *arg;
	const atomic_bool *cancel;
	int64_t end; /* monotonic ms */
	int pause;
	unsigned tries, redirects;
	bool master; /* no replica is to be asked */
	bool missed; /* the server that an ASK named has no such key */
};

static bool is_single(const struct redis_nodes *n)
{
	return n->seeds.count == 0;
}

/* A redirection, or a lost connection, is an answer only for callers who can ask again, a refusal of changes for who makes one. Else it is an error. */
static int answer_of(int r)
{
	if (r == REPLY_FULL)
		return -EAGAIN;
	return r == REPLY_MOVED || r == REPLY_ASK || r == REPLY_READERS_ONLY || r == -ECONNRESET ? -EIO : r;
}

/* Whether there was neither an answer nor a refusal: the server is lost, or cannot answer now. */
static bool is_trouble(int r, const struct node_answer *answer)
{
	if (r == -EAGAIN)
		return true;
	if (answer->asked && !answer->broken)
		return false;
	return r == -ECONNREFUSED || r == -ECONNRESET || r == -EHOSTUNREACH || r == -ENETUNREACH || r == -EADDRNOTAVAIL || r == -ETIMEDOUT ||
		r == -EIO;
}

/* True: time is left for another try. */
static bool wait_for(struct attempt *a)
{
	static const struct timespec step = {.tv_nsec = PAUSE_MIN_MS * 1000000};
	a->pause = a->pause == 0 ? PAUSE_MIN_MS : a->pause * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : a->pause * 2;
	for (int64_t end = clock_ms() + a->pause; clock_ms() < end;) {
		if (was_cancelled(a->cancel) || redis_target_is_stopped(a->nodes->settings.login) || clock_ms() >= a->end)
			return false;
		nanosleep(&step, NULL);
	}
	return true;
}

/* Notes that a node is lost, or that no node has the slot. Returns until when to wait. */
static int64_t note_trouble(struct redis_nodes *n, struct redis_node *node)
{
	int64_t now = clock_ms();
	pthread_mutex_lock(&n->lock);
	int64_t *since = node ? &node->failing_since : &n->unserved_since;
	*since = *since ? *since : now;
	int64_t until = *since + n->settings.timeout_ms;
	if (node)
		node->failed_at = now;
	pthread_mutex_unlock(&n->lock);
	return until;
}

static uint64_t epoch_of(struct redis_nodes *n)
{
	pthread_mutex_lock(&n->lock);
	uint64_t epoch = n->epoch;
	pthread_mutex_unlock(&n->lock);
	return epoch;
}

/* Whether to ask again after trouble with a node (NULL: no node has the slot): there must be a reason, and time. */
static bool wait_out(struct attempt *a, struct redis_node *node, uint64_t epoch)
{
	struct redis_nodes *n = a->nodes;
	int64_t until = note_trouble(n, node);
	if (clock_ms() >= a->end)
		return false;
	int r = nodes_look(n, clock_ms() - a->pause, NULL, NULL);
	if (clock_ms() >= a->end)
		return false;
	if (epoch_of(n) != epoch)
		return true;
	/* Do not wait if nobody answers, or if waiting has not helped for so long. */
	return r == 0 && clock_ms() < until && wait_for(a);
}

/* Asks where a redirection leads to: a known node, or else a server over a connection of its own. */
static int ask_other(struct attempt *a, const struct address *address, struct node_answer *ret)
{
	struct redis_nodes *n = a->nodes;
	struct redis_node *node = nodes_find(n, address);
	struct redis_target target = target_at(n->settings.login, address);
	struct redis_connection *c;
	struct error ignored;
	int r;
	if (node) {
		r = node_ask(node, true, NULL, a->ask, a->arg, a->cancel, ret);
		nodes_release(n, node);
		return r;
	}
	*ret = (struct node_answer){.asked = false};
	r = connection_open(&target, n->settings.timeout_ms, &c, &ignored);
	if (r < 0)
		return r;
	stream_set_cancel(&c->stream, a->cancel);
	r = node_ask_over(c, true, a->ask, a->arg, ret);
	connection_close(c);
	return r;
}

/* A slot has gone elsewhere. */
static bool follow(struct attempt *a, const struct redis_node *from, const char *redirect, int64_t began)
{
	struct address to;
	if (!address_read(redirect, &from->address, &to))
		return wait_for(a);
	nodes_look(a->nodes, began, &to, NULL);
	return ++a->redirects <= REDIRECTS_MAX || wait_for(a);
}

/* --- whether an answer counts --- */

static int ask_owner(struct redis_connection *c, void *arg)
{
	const struct bytes *name = arg;
	int64_t ignored;
	connection_put(c, (const struct bytes[]){bytes_of("STRLEN", 6), *name}, 2);
	int r = connection_send(c);
	if (r == 0)
		r = connection_integer(c, &ignored);
	/* Only the owner of the key says what it is, and who may read it. */
	return r == -EPROTOTYPE || r == -EACCES ? 0 : r;
}

/* Whether a node of a cluster still has a key. 0, -errno. */
static int prove_owner(struct redis_nodes *n, struct redis_node *node, const struct bytes *name)
{
	struct node_answer ignored;
	struct bytes copy = *name;
	return n->seeds.service ? 0 : node_ask(node, false, NULL, ask_owner, &copy, NULL, &ignored);
}

/* Whether a node is still the one to ask. The topology that tells it must not be too old. */
static bool is_current(struct redis_nodes *n, const struct bytes *name, bool master, const struct redis_node *node)
{
	int64_t now = clock_ms(), looked_at;
	bool is = nodes_still_read(n, name, master, node, &looked_at);
	if (!is || now - looked_at <= LOOK_MS)
		return is;
	nodes_look(n, now - LOOK_MS, NULL, NULL);
	return nodes_still_read(n, name, master, node, &looked_at);
}

static void note_well(struct redis_nodes *n, struct redis_node *node)
{
	pthread_mutex_lock(&n->lock);
	node->failing_since = 0;
	pthread_mutex_unlock(&n->lock);
}

static bool counts(struct attempt *a, struct redis_node *node, int64_t began)
{
	note_well(a->nodes, node);
	bool slow = clock_ms() - began > SLOW_MS;
	if (slow && a->name && prove_owner(a->nodes, node, a->name) < 0)
		return false;
	return is_current(a->nodes, a->name, a->master, node);
}

/* --- */

/* The node to ask. If it has failed, another one may have its place by now. */
static int pick(struct attempt *a, struct redis_node **ret, uint64_t *ret_epoch)
{
	struct redis_nodes *n = a->nodes;
	int r = nodes_pick(n, a->name, a->master, ret, ret_epoch);
	if (r < 0 || !node_is_failing(n, *ret))
		return r;
	nodes_release(n, *ret);
	*ret = NULL;
	nodes_look(n, clock_ms() - PAUSE_MAX_MS, NULL, NULL);
	return nodes_pick(n, a->name, a->master, ret, ret_epoch);
}

/* One try. Whether there is to be another. */
static int try_once(struct attempt *a, bool *ret_again)
{
	struct redis_nodes *n = a->nodes;
	struct node_answer answer = {.asked = false};
	struct redis_node *node = NULL;
	struct address other;
	int64_t began = clock_ms();
	uint64_t epoch;
	int r = pick(a, &node, &epoch);
	if (r == 0)
		r = node_ask(node, false, NULL, a->ask, a->arg, a->cancel, &answer);
	bool asked_other = r == REPLY_ASK && address_read(answer.redirect, &node->address, &other);
	if (asked_other)
		r = ask_other(a, &other, &answer);
	if (r == REPLY_MOVED || r == REPLY_ASK) {
		*ret_again = asked_other ? wait_for(a) : follow(a, node, answer.redirect, began);
		r = -EAGAIN;
	} else if (is_trouble(r, &answer)) {
		*ret_again = wait_out(a, node, epoch);
	} else if (r == -ENOENT && n->from_replicas && !a->master) {
		/* Perhaps it was too early, or the key moves between two masters, which replicas do not know. */
		*ret_again = a->master = true;
	} else if (r == -ENOENT && asked_other && !a->missed) {
		/* If that ASK is old, the slot may have moved on, and now return there while the key has not arrived yet. */
		*ret_again = a->missed = true;
	} else if (r != -EINTR && !counts(a, node, began)) {
		*ret_again = a->tries < 2 || wait_for(a);
		r = -EAGAIN;
	}
	nodes_release(n, node);
	return r;
}

/* A lost connection does not prove that the server is lost: try another one while there is time. */
static int ask_single(struct attempt *a, const struct reached *reached)
{
	struct redis_pool *pool = &a->nodes->readers[0]->pool;
	int r;
	do
		r = redis_pool_ask(pool, reached, a->ask, a->arg, a->cancel);
	while (r == -ECONNRESET && wait_for(a));
	return answer_of(r);
}

int nodes_ask(struct redis_nodes *nodes, const struct bytes *name, int (*ask)(struct redis_connection *connection, void *arg), void *arg,
	const atomic_bool *cancel)
{
	struct attempt a = {.nodes = nodes, .name = name, .ask = ask, .arg = arg, .cancel = cancel};
	bool again;
	int r;
	a.end = clock_ms() + nodes->settings.timeout_ms;
	if (is_single(nodes))
		return ask_single(&a, NULL);
	do {
		again = false;
		a.tries++;
		r = try_once(&a, &again);
	} while (again);
	return was_cancelled(cancel) && r == -EAGAIN ? -EINTR : answer_of(r);
}

/* --- fences --- */

uint64_t nodes_round(struct redis_nodes *nodes, const struct bytes *name)
{
	struct redis_node *node = NULL;
	uint64_t epoch;
	if (is_single(nodes))
		return listener_round(&nodes->readers[0]->listener, NULL);
	if (nodes_pick(nodes, name, false, &node, &epoch) < 0)
		return 0;
	uint64_t round = listener_round(&node->listener, NULL);
	nodes_release(nodes, node);
	return round;
}

/* After a fence with the result `r`: whether the round was valid for all that was read in it. */
static int check(struct redis_node *node, uint64_t round, int r)
{
	if (r < 0 || !redis_pool_has_lost(&node->pool, round))
		return r;
	listener_end(&node->listener, round);
	return -ESTALE;
}

static int fence(struct redis_node *node, uint64_t round)
{
	return check(node, round, listener_fence(&node->listener, round));
}

int nodes_fence(struct redis_nodes *nodes, uint64_t round)
{
	if (is_single(nodes))
		return fence(nodes->readers[0], round);
	struct redis_node *node = round ? nodes_of_round(nodes, round) : NULL;
	if (!node)
		return -ESTALE;
	int r = fence(node, round);
	nodes_release(nodes, node);
	return r;
}

static int confirm(struct redis_nodes *n, const struct bytes *name, struct redis_node *node, uint64_t round)
{
	for (unsigned tries = 1;; tries++) {
		int64_t began = clock_ms();
		uint64_t ticket = listener_fence_begin(&node->listener, round);
		int r = prove_owner(n, node, name);
		if (r == 0)
			r = check(node, round, listener_fence_end(&node->listener, round, ticket));
		if (r == -ETIMEDOUT)
			note_trouble(n, node);
		if (r < 0)
			return r == -ETIMEDOUT ? r : -ESTALE;
		if (tries == 2 || clock_ms() - began <= SLOW_MS)
			return is_current(n, name, false, node) ? 0 : -ESTALE;
	}
}

int nodes_confirm(struct redis_nodes *nodes, const struct bytes *name, uint64_t round)
{
	if (is_single(nodes))
		return fence(nodes->readers[0], round);
	struct redis_node *node = round ? nodes_of_round(nodes, round) : NULL;
	if (!node)
		return -ESTALE;
	int r = node_is_failing(nodes, node) ? -ESTALE : confirm(nodes, name, node, round);
	nodes_release(nodes, node);
	return r;
}

/* --- one of them --- */

int nodes_ask_one(struct redis_nodes *nodes, const struct node_list *list, size_t index, const struct reached *reached,
	int (*ask)(struct redis_connection *connection, void *arg), void *arg, const atomic_bool *cancel)
{
	struct redis_node *node = list->nodes[index];
	struct attempt a = {.nodes = nodes, .ask = ask, .arg = arg, .cancel = cancel, .end = clock_ms() + nodes->settings.timeout_ms};
	if (is_single(nodes))
		return ask_single(&a, reached);
	for (;;) {
		struct node_answer answer;
		uint64_t epoch = epoch_of(nodes);
		int r = node_ask(node, false, reached, ask, arg, cancel, &answer);
		if (!is_trouble(r, &answer)) {
			note_well(nodes, node);
			if (!nodes->seeds.service || is_current(nodes, NULL, false, node))
				return answer_of(r);
			return epoch_of(nodes) != list->epoch ? -ESTALE : -EAGAIN;
		}
		bool again = wait_out(&a, node, epoch);
		if (epoch_of(nodes) != list->epoch)
			return -ESTALE;
		if (!again)
			return was_cancelled(cancel) ? -EINTR : answer_of(r);
	}
}
