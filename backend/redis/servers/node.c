#include "node.h"

#include "backend/redis/wire/nested.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct redis_target target_at(const struct redis_target *login, const struct address *address)
{
	struct redis_target target = *login;
	target.at.host = (char *)(uintptr_t)address->host;
	target.at.port = address->port;
	return target;
}

struct redis_node *node_new(const struct node_settings *settings, const struct address *address)
{
	struct redis_node *node = calloc(1, sizeof *node);
	if (!node)
		return NULL;
	if (address)
		node->address = *address;
	node->target = address ? target_at(settings->login, &node->address) : *settings->login;
	node->refs = 1;
	listener_init(&node->listener, &node->target, settings->timeout_ms, settings->seed, settings->changes);
	redis_pool_init(&node->pool, &node->target, settings->timeout_ms, &node->listener);
	node->pool.prepare = settings->prepare;
	return node;
}

void node_free(struct redis_node *node)
{
	if (!node)
		return;
	listener_done(&node->listener);
	redis_pool_done(&node->pool);
	free(node);
}

/* --- asking --- */

struct errand {
	int (*ask)(struct redis_connection *connection, void *arg);
	void *arg;
	bool asking;
	struct node_answer *answer;
};

static int run(struct redis_connection *c, void *arg)
{
	struct errand *errand = arg;
	c->redirect[0] = '\0';
	c->asking = errand->asking;
	int r = errand->ask(c, errand->arg);
	c->asking = false;
	errand->answer->asked = true;
	errand->answer->broken = c->stream.broken;
	strcpy(errand->answer->redirect, c->redirect);
	return r;
}

int node_ask(struct redis_node *node, bool asking, const struct reached *reached, int (*ask)(struct redis_connection *connection, void *arg),
	void *arg, const atomic_bool *cancel, struct node_answer *ret)
{
	*ret = (struct node_answer){.asked = false};
	return redis_pool_ask(&node->pool, reached, run, &(struct errand){ask, arg, asking, ret}, cancel);
}

int node_ask_over(struct redis_connection *connection, bool asking, int (*ask)(struct redis_connection *connection, void *arg), void *arg,
	struct node_answer *ret)
{
	*ret = (struct node_answer){.asked = false};
	return run(connection, &(struct errand){ask, arg, asking, ret});
}

/* --- new connections --- */

int node_prepare_replica(struct redis_connection *c)
{
	connection_put_text(c, "READONLY", NULL);
	int r = connection_send(c);
	if (r == 0)
		r = connection_status(c);
	/* A server that is not in a cluster needs no READONLY. */
	return c->stream.broken ? r : 0;
}

int node_prepare_master(struct redis_connection *c)
{
	char role[16] = "";
	int64_t count;
	connection_put_text(c, "ROLE", NULL);
	int r = connection_send(c);
	if (r == 0)
		r = connection_array(c, &count);
	/* Without the right to ask, believe the sentinels. */
	if (r < 0)
		return c->stream.broken ? r : 0;
	r = count < 1 ? -EIO : nested_text(c, role, sizeof role);
	if (r == 0)
		r = nested_skip_rest(c, count - 1);
	return r < 0 ? r : strcmp(role, "master") == 0 ? 0 : -EAGAIN;
}
