/*
 * Which slots move between the nodes of a cluster. Only the two nodes of a move know it, and tell it by CLUSTER NODES:
 *
 *   id host:port@bus[,name] flags master ... [slot->-id]... [slot-<-id]...
 */
#include "nodes.h"

#include "ckfs/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID_LENGTH 40

/* The largest text. A thousand nodes, with all slots in ranges of their own and moving, need a third of it. */
#define TEXT_MAX (4 << 20)

static const char leaving[] = "->-", coming[] = "-<-";

struct answer {
	char *text; /* NULL: nothing */
	size_t length;
};

static int ask_text(struct redis_connection *c, void *arg)
{
	struct answer *answer = arg;
	free(answer->text); /* of a try before */
	answer->text = NULL;
	connection_put_text(c, "CLUSTER", "NODES", NULL);
	int r = connection_send(c);
	return r < 0 ? r : connection_text(c, TEXT_MAX, &answer->text, &answer->length);
}

static bool is_name(const char *host)
{
	struct in6_addr ignored;
	return inet_pton(AF_INET, host, &ignored) != 1 && inet_pton(AF_INET6, host, &ignored) != 1;
}

/*
 * The address of a node, read from what follows its id. If servers are reached by names, for their certificates, this one is too.
 */
static bool read_place(const char *at, const struct address *asked, struct address *ret)
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

static bool has(const struct node_list *list, const struct address *address)
{
	for (size_t i = 0; i < list->count; i++)
		if (address_equal(&list->nodes[i]->address, address))
			return true;
	return false;
}

/* A node that slots move to: an id within the text, without a NUL. */
struct target {
	const char *id;
	bool placed;
};

static int by_id(const void *a, const void *b)
{
	return memcmp(((const struct target *)a)->id, ((const struct target *)b)->id, ID_LENGTH);
}

/* Sorts, and leaves one of each. Returns how many are left. */
static size_t make_unique(struct target *targets, size_t count)
{
	size_t kept = 0;
	qsort(targets, count, sizeof *targets, by_id);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || by_id(&targets[kept - 1], &targets[i]) != 0)
			targets[kept++] = targets[i];
	return kept;
}

/* All targets in a text. 0; -EIO there are more than nodes in any cluster; -ENOMEM. */
static int read_targets(const char *text, const char *end, struct target **ret, size_t *ret_count)
{
	cleanup_free struct target *targets = NULL;
	size_t count = 0, room = 0;
	for (const char *at = text; (at = memmem(at, (size_t)(end - at), leaving, sizeof leaving - 1)) != NULL;) {
		at += sizeof leaving - 1;
		if (end - at < ID_LENGTH)
			break;
		if (count == room) {
			room = room ? room * 2 : 64;
			struct target *grown = realloc(targets, room * sizeof *grown);
			if (!grown)
				return -ENOMEM;
			targets = grown;
		}
		targets[count++] = (struct target){.id = at};
	}
	count = count > 0 ? make_unique(targets, count) : 0;
	if (count > SHARDS_MAX)
		return -EIO;
	*ret = steal(targets);
	*ret_count = count;
	return 0;
}

/*
 * Adds servers that have no slot yet, but keys that move to them. Reads the text twice, however long it is: first the ids, then their
 * addresses.
 */
static int add_targets(struct redis_nodes *n, struct node_list *list, const char *text, size_t length, const struct address *asked)
{
	const char *end = text + length;
	cleanup_free struct target *targets = NULL;
	size_t count = 0;
	int r = read_targets(text, end, &targets, &count);
	for (const char *line = text, *next; r == 0 && count > 0 && end - line > ID_LENGTH; line = next) {
		next = memchr(line, '\n', (size_t)(end - line));
		next = next ? next + 1 : end;
		const struct target wanted = {.id = line};
		struct target *target = line[ID_LENGTH] == ' ' ? bsearch(&wanted, targets, count, sizeof *targets, by_id) : NULL;
		struct address address;
		if (!target || target->placed)
			continue;
		target->placed = true;
		if (read_place(line + ID_LENGTH + 1, asked, &address) && !has(list, &address))
			r = node_list_add(n, list, &address);
	}
	return r;
}

static int settle_one(struct redis_nodes *n, struct node_list *list, size_t i, const atomic_bool *cancel, bool *moving)
{
	struct answer answer = {.text = NULL};
	struct address asked = list->nodes[i]->address;
	int r = nodes_ask_one(n, list, i, NULL, ask_text, &answer, cancel);
	const char *text = answer.text;
	bool refused = r == -EACCES || r == -ENOSYS || (r == 0 && !text);
	/* Without the right to ask, assume that keys move. */
	*moving |= refused || (r == 0 && (strstr(text, leaving) || strstr(text, coming)));
	if (r == 0 && text)
		r = add_targets(n, list, text, answer.length, &asked);
	free(answer.text);
	/* A master knows first which slots have left it. */
	if (r == 0 || refused)
		nodes_look(n, INT64_MAX, &asked, NULL);
	return refused ? 0 : r;
}

int nodes_settle(struct redis_nodes *nodes, struct node_list *list, const atomic_bool *cancel, bool *ret_moving)
{
	/* Replicas do not know which slots move. */
	bool asks = nodes->seeds.count > 0 && !nodes->seeds.service && !nodes->from_replicas;
	const size_t count = list->count;
	int r = 0;
	*ret_moving = nodes->from_replicas && !nodes->seeds.service;
	if (nodes->seeds.count > 0 && !asks)
		nodes_look(nodes, INT64_MAX, NULL, NULL);
	for (size_t i = 0; asks && r == 0 && i < count; i++)
		r = settle_one(nodes, list, i, cancel, ret_moving);
	return r;
}
