/*
 * What is under way between the nodes of a cluster. Only the two of them know, and tell it by CLUSTER NODES:
 *
 *   id host:port@bus[,name] flags master ... [slot->-id]... [slot-<-id]...
 */
#include "redis_nodes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID_LENGTH 40
#define TEXT_MAX (64 << 20)

static const char leaving[] = "->-", coming[] = "-<-";

static int ask_text(struct redis_connection *c, void *arg)
{
	char **text = arg;
	size_t n;
	free(*text); /* of a try before */
	*text = NULL;
	connection_put_text(c, "CLUSTER", "NODES", NULL);
	int r = connection_send(c);
	return r < 0 ? r : connection_text(c, TEXT_MAX, text, &n);
}

static bool is_name(const char *host)
{
	struct in6_addr ignored;
	return inet_pton(AF_INET, host, &ignored) != 1 && inet_pton(AF_INET6, host, &ignored) != 1;
}

/*
 * Where a node is, by what follows its id. Where servers are reached by their names, which their certificates are for, this one is too.
 */
static bool read_place(const char *at, const struct redis_address *asked, struct redis_address *ret)
{
	char place[REDIRECT_MAX] = "";
	size_t n = strcspn(at, "@ ,\n");
	if (n >= sizeof place)
		return false;
	memcpy(place, at, n);
	if (!address_read(place, asked, ret))
		return false;
	const char *name = at + strcspn(at, " ,\n");
	size_t length = *name == ',' ? strcspn(++name, " ,\n") : 0;
	if (length > 0 && length < sizeof ret->host && is_name(asked->host)) {
		memcpy(ret->host, name, length);
		ret->host[length] = '\0';
	}
	return true;
}

/* Where a node is, by what the text says of it. */
static bool find_address(const char *text, const char *id, const struct redis_address *asked, struct redis_address *ret)
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, id, ID_LENGTH) != 0 || line[ID_LENGTH] != ' ')
			continue;
		return read_place(line + ID_LENGTH + 1, asked, ret);
	}
	return false;
}

static bool has(const struct node_list *list, const struct redis_address *address)
{
	for (size_t i = 0; i < list->count; i++)
		if (address_equal(&list->nodes[i]->address, address))
			return true;
	return false;
}

/* A server that has no slot yet, only keys that are on their way to it. */
static int add_targets(struct redis_nodes *n, struct node_list *list, const char *text, const struct redis_address *asked)
{
	int r = 0;
	for (const char *at = text; r == 0 && (at = strstr(at, leaving)) != NULL;) {
		struct redis_address address;
		at += sizeof leaving - 1;
		if (strlen(at) >= ID_LENGTH && find_address(text, at, asked, &address) && !has(list, &address))
			r = node_list_add(n, list, &address);
	}
	return r;
}

static int settle_one(struct redis_nodes *n, struct node_list *list, size_t i, bool *moving)
{
	char *text = NULL;
	struct redis_address asked = list->nodes[i]->address;
	int r = nodes_ask_one(n, list, i, NULL, ask_text, &text);
	bool refused = r == -EACCES || r == -ENOSYS || (r == 0 && !text);
	/* Who may not ask has to be careful. */
	*moving |= refused || (r == 0 && (strstr(text, leaving) || strstr(text, coming)));
	if (r == 0 && text)
		r = add_targets(n, list, text, &asked);
	free(text);
	/* It knows first which slots have left it. */
	if (r == 0 || refused)
		nodes_look(n, INT64_MAX, &asked, NULL);
	return refused ? 0 : r;
}

int nodes_settle(struct redis_nodes *nodes, struct node_list *list, bool *ret_moving)
{
	/* Replicas know nothing of what is under way. */
	bool asks = nodes->seeds.count > 0 && !nodes->seeds.service && !nodes->from_replicas;
	const size_t count = list->count;
	int r = 0;
	*ret_moving = nodes->from_replicas && !nodes->seeds.service;
	if (nodes->seeds.count > 0 && !asks)
		nodes_look(nodes, INT64_MAX, NULL, NULL);
	for (size_t i = 0; asks && r == 0 && i < count; i++)
		r = settle_one(nodes, list, i, ret_moving);
	return r;
}
