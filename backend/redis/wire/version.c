#include "version.h"

#include "nested.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX 32

/* What a server tells of itself has fewer parts. */
#define HELLO_MAX 64

/* No part of a version is larger. A build from between releases calls itself 255.255.255: that is no release. */
#define NUMBER_MAX 99999
#define RELEASE_MAX 200

struct range {
	const char *name;
	unsigned from[3], to[3]; /* both included */
};

/*
 * CLIENT NO-TOUCH came with Redis 7.2. A server in that mode may read the command that is executed where none is: when it looks a key up for a slot
 * that moves, or for clients that wait. That ends it. The fault came with Redis 8.0 (pull request 13512; 7.9 were its previews) and went with
 * 8.2.7 and 8.4.0 (14415); it came with Valkey 8.0.2 (1499) and went with 8.0.6, 8.1.4 and 9.0.0 (2347). Valkey 7.2 calls itself "redis" with its
 * own version, of which those after 7.2.7 are not known; any newer Valkey that imitates Redis (extended-redis-compatibility) says 7.2.4.
 */
static const struct range no_touch_works[] = {
	{"redis", {7, 2, 0}, {7, 2, 3}},
	{"redis", {7, 2, 5}, {7, 2, 7}},
	{"redis", {7, 4, 0}, {7, 4, NUMBER_MAX}},
	{"redis", {8, 2, 7}, {8, 2, NUMBER_MAX}},
	{"redis", {8, 4, 0}, {RELEASE_MAX, 0, 0}},
	{"valkey", {8, 0, 0}, {8, 0, 1}},
	{"valkey", {8, 0, 6}, {8, 0, NUMBER_MAX}},
	{"valkey", {8, 1, 4}, {8, 1, NUMBER_MAX}},
	{"valkey", {9, 0, 0}, {RELEASE_MAX, 0, 0}},
};

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
	return is_in_any(v, no_touch_works, sizeof no_touch_works / sizeof *no_touch_works);
}

bool server_bears_tracking(const struct server_version *v)
{
	return !is_in_any(v, tracking_crashes, sizeof tracking_crashes / sizeof *tracking_crashes);
}

bool server_tells_old_values(const struct server_version *v)
{
	static const unsigned since[3] = {6, 2, 0};
	return v->name[0] && compare(v->number, since) >= 0;
}

void server_version_parse(const char *name, const char *text, struct server_version *ret)
{
	struct server_version v = {.name = ""};
	char more;
	/* A candidate, or a build of somebody's own, has more behind it. */
	if (strlen(name) < sizeof v.name && sscanf(text, "%5u.%5u.%5u%c", &v.number[0], &v.number[1], &v.number[2], &more) == 3)
		strcpy(v.name, name);
	*ret = v;
}

/* [name, value, …], with values of all kinds. */
int server_version_read(struct redis_connection *c, struct server_version *ret)
{
	struct reply reply = {0};
	char name[WORD_MAX] = "", version[WORD_MAX] = "", word[WORD_MAX], value[WORD_MAX];
	int r = connection_head(c, &reply);
	if (r == 0 && (reply.kind == REPLY_STRING || reply.number % 2 != 0 || reply.number > HELLO_MAX))
		r = -EIO;
	for (int64_t left = r == 0 && reply.kind == REPLY_ARRAY ? reply.number : 0; r == 0 && left > 0; left -= 2) {
		r = nested_text(c, word, sizeof word);
		if (r == 0)
			r = nested_text(c, value, sizeof value);
		if (r == 0 && strcmp(word, "server") == 0)
			strcpy(name, value);
		if (r == 0 && strcmp(word, "version") == 0)
			strcpy(version, value);
	}
	if (r == 0)
		server_version_parse(name, version, ret);
	return r;
}
