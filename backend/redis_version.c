#include "redis_version.h"

#include "redis_nested.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX 32

struct range {
	const char *name;
	unsigned from[3], to[3]; /* both included */
};

/*
 * CLIENT NO-TOUCH came with Redis 7.2. From Redis 8.0 (7.9 were its previews) to 8.2, and in Valkey 8.1, a server in that mode reads the command
 * that is executed where none is: when it looks a key up for a slot that moves, or for clients that wait. That ends it (Redis pull request
 * 14415, Valkey 2347).
 */
static const struct range no_touch_works[] = {
	{"redis", {7, 2, 0}, {7, 4, UINT_MAX}},
	{"redis", {8, 4, 0}, {UINT_MAX, 0, 0}},
	{"valkey", {7, 2, 0}, {8, 0, UINT_MAX}},
	{"valkey", {9, 0, 0}, {UINT_MAX, 0, 0}},
};

/* What a Valkey of any version calls itself where it imitates Redis (extended-redis-compatibility). */
static const struct range imitation = {"redis", {7, 2, 4}, {7, 2, 4}};

/* These end when more keys are tracked than tracking-table-max-keys, a million by default (Redis pull request 11814). */
static const struct range tracking_crashes[] = {
	{"redis", {6, 2, 8}, {6, 2, 10}},
	{"redis", {7, 0, 5}, {7, 0, 8}},
};

static int compare(const unsigned a[3], const unsigned b[3])
{
	for (int i = 0; i < 3; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

static bool is_within(const struct server_version *v, const struct range *range)
{
	return strcmp(v->name, range->name) == 0 && compare(v->number, range->from) >= 0 && compare(v->number, range->to) <= 0;
}

static bool is_in_any(const struct server_version *v, const struct range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_within(v, &ranges[i]))
			return true;
	return false;
}

bool server_bears_no_touch(const struct server_version *v)
{
	return is_in_any(v, no_touch_works, sizeof no_touch_works / sizeof *no_touch_works) && !is_within(v, &imitation);
}

bool server_bears_tracking(const struct server_version *v)
{
	return !is_in_any(v, tracking_crashes, sizeof tracking_crashes / sizeof *tracking_crashes);
}

void server_version_parse(const char *name, const char *text, struct server_version *ret)
{
	struct server_version v = {.name = ""};
	if (strlen(name) < sizeof v.name && sscanf(text, "%5u.%5u.%5u", &v.number[0], &v.number[1], &v.number[2]) == 3)
		strcpy(v.name, name);
	*ret = v;
}

/* [name, value, …], with values of all kinds. */
int server_version_read(struct redis_connection *c, struct server_version *ret)
{
	struct reply reply = {0};
	char name[WORD_MAX] = "", version[WORD_MAX] = "", word[WORD_MAX], value[WORD_MAX];
	int r = connection_head(c, &reply);
	int64_t left = r == 0 && reply.kind == REPLY_ARRAY ? reply.number : 0;
	for (; r == 0 && left > 1; left -= 2) {
		r = nested_text(c, word, sizeof word);
		if (r == 0)
			r = nested_text(c, value, sizeof value);
		if (r == 0 && strcmp(word, "server") == 0)
			strcpy(name, value);
		if (r == 0 && strcmp(word, "version") == 0)
			strcpy(version, value);
	}
	if (r == 0)
		r = nested_skip_rest(c, left);
	if (r == 0)
		server_version_parse(name, version, ret);
	return r;
}
