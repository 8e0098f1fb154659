/*
 * Changes of what the service stores: PUT, DELETE, and PATCH of the time to live. Neither of them tells what there was, so that is asked before, where it
 * matters: it is one more request. A value that is written over keeps its expiry, to a second, and lives as if it were fresh for all of that time.
 */
#include "write.h"

#include "http_backend.h"

#include "backend/http/rules/ttl.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of a life that has no end. */
#define FOR_EVER 0

/* Makes a change. Whatever comes of it, who asks from now on is told what there is by then. */
static int change(struct http_backend *b, const struct key *key, const char *what, struct http_question *question, const atomic_bool *cancel)
{
	cleanup_buf struct buf path = {0};
	cleanup_free struct answer *answer = calloc(1, sizeof *answer);
	struct error error;
	if (!answer)
		return -ENOMEM;
	int r = http_path(b, key, what, &path);
	if (r < 0)
		return r;
	question->path = path.p;
	r = service_ask(&b->service, question, cancel, answer, &error);
	answer_done(answer);
	flights_part(&b->flights, &key->hash);
	expiries_drop(&b->expiries, &key->hash);
	return r;
}

/* Seconds that are left until then, or FOR_EVER. -EINVAL: more than the service takes. */
static int read_ttl(int64_t expires, int64_t *ret)
{
	const int64_t left = expires - clock_unix();
	if (expires != 0 && left > SERVICE_TTL_MAX)
		return -EINVAL;
	*ret = expires == 0 ? FOR_EVER : left > 0 ? left : 1;
	return 0;
}

/* The same of what is stored. */
static int settle_ttl(struct http_backend *b, const struct key *key, const struct lifetime *lifetime, const atomic_bool *cancel, int64_t *ret)
{
	int64_t left;
	if (lifetime->is_set)
		return read_ttl(lifetime->expires, ret);
	int r = http_ask_ttl(b, key, cancel, &left);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT)
		*ret = lifetime->ttl;
	else if (left == TTL_NEVER)
		*ret = FOR_EVER;
	else
		*ret = left < 1 ? 1 : left < SERVICE_TTL_MAX ? left : SERVICE_TTL_MAX;
	return 0;
}

int http_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel)
{
	struct http_backend *b = http_of(backend);
	struct http_question question = {.method = "PUT", .body = value, .headers = {"Content-Type: application/octet-stream"}};
	cleanup_buf struct buf ignored = {0};
	char line[64];
	int64_t ttl;
	int r = http_path(b, key, "", &ignored);
	if (r < 0)
		return r == -ENOENT && key->text ? -EINVAL : r;
	r = settle_ttl(b, key, lifetime, cancel, &ttl);
	if (r < 0)
		return r;
	snprintf(line, sizeof line, "X-CacheKit-TTL: %lld", (long long)ttl);
	if (ttl != FOR_EVER)
		question.headers[1] = line;
	return change(b, key, "", &question, cancel);
}

int http_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel)
{
	struct http_question question = {.method = "DELETE"};
	return change(http_of(backend), key, "", &question, cancel);
}

/* That of an entry that is not there would be answered as well as any. */
int http_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel)
{
	struct http_backend *b = http_of(backend);
	cleanup_slice struct slice body = {0};
	struct http_question question = {.method = "PATCH", .body = &body, .headers = {"Content-Type: application/json"}};
	char text[40];
	int64_t before, ttl;
	int r = read_ttl(expires, &ttl);
	if (r == 0)
		r = http_ask_ttl(b, key, cancel, &before);
	if (r < 0 || (ttl == FOR_EVER && before == TTL_NEVER))
		return r;
	if (ttl == FOR_EVER)
		return -EINVAL;
	const int n = snprintf(text, sizeof text, "{\"ttl\": %lld}", (long long)ttl);
	r = slice_new_copy(text, (size_t)n, &body);
	return r < 0 ? r : change(b, key, "/ttl", &question, cancel);
}
