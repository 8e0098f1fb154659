#include "redis_announcements.h"

#include "redis_nested.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define CHANNEL "__redis__:invalidate"

/* No server takes a longer key. */
#define KEY_BYTES_MAX (INT64_C(512) << 20)

/* The words that name a message are no longer. */
#define WORD_MAX 64

uint64_t announced_hash(uint64_t seed, const void *key, size_t n)
{
	return XXH3_64bits_withSeed(key, n, seed);
}

/* --- reading --- */

static int read_key(struct redis_connection *c, uint64_t seed, struct changes *changes)
{
	char *key = NULL;
	size_t n;
	int r = connection_text(c, KEY_BYTES_MAX, &key, &n);
	if (r == 0 && key)
		changes_note(changes, announced_hash(seed, key, n));
	free(key);
	return r;
}

/* The keys that changed, or nothing: all of them. */
static int read_keys(struct redis_connection *c, uint64_t seed, struct changes *changes)
{
	struct reply reply = {0};
	int r = connection_head(c, &reply);
	if (r == 0 && reply.kind == REPLY_NIL)
		changes_note_all(changes);
	else if (r == 0 && reply.kind != REPLY_ARRAY)
		r = -EIO;
	for (int64_t i = 0; r == 0 && reply.kind == REPLY_ARRAY && i < reply.number; i++)
		r = read_key(c, seed, changes);
	return r;
}

/* What follows the word that names a message. `left`: so many parts. */
static int read_rest(struct redis_connection *c, uint64_t seed, struct changes *changes, const char *word, int64_t left)
{
	bool is_of_channel = strcmp(word, "message") == 0 && left == 2;
	bool has_keys = is_of_channel || (strcmp(word, "invalidate") == 0 && left == 1);
	int r = nested_skip_rest(c, is_of_channel ? 1 : has_keys ? 0 : left);
	return r == 0 && has_keys ? read_keys(c, seed, changes) : r;
}

int announcements_read(struct redis_connection *c, uint64_t seed, struct changes *changes, bool *ret_pong)
{
	struct reply head = {0};
	char *word = NULL;
	size_t n;
	int r = connection_head(c, &head);
	*ret_pong = r == 0 && head.kind == REPLY_STATUS;
	if (r < 0 || *ret_pong)
		return r;
	if ((head.kind != REPLY_ARRAY && head.kind != REPLY_PUSH) || head.number < 2 || head.number > 4)
		return -EIO;
	r = connection_text(c, WORD_MAX, &word, &n);
	if (r == 0)
		r = word ? read_rest(c, seed, changes, word, head.number - 1) : -EIO;
	*ret_pong = r == 0 && strcmp(word, "pong") == 0;
	free(word);
	return r;
}

/* --- opening --- */

/* Subscribes to the channel that stands in for pushes in RESP2. */
static int subscribe(struct redis_connection *c)
{
	int64_t count;
	connection_put_text(c, "SUBSCRIBE", CHANNEL, NULL);
	int r = connection_send(c);
	if (r == 0)
		r = connection_array(c, &count);
	return r < 0 ? r : nested_skip_rest(c, count);
}

int announcements_open(const struct redis_target *target, int timeout_ms, struct redis_connection **ret, struct client_identity *ret_identity)
{
	struct redis_connection *c;
	struct error ignored;
	struct reply hello = {0};
	struct client_identity identity = {0};
	int r = connection_open(target, timeout_ms, &c, &ignored);
	if (r < 0)
		return r;
	connection_put_text(c, "HELLO", "3", NULL);
	identity_put(c, &identity);
	r = connection_send(c);
	if (r == 0)
		r = connection_head(c, &hello);
	if (r == 0 && hello.kind == REPLY_ARRAY)
		r = nested_skip_rest(c, hello.number);
	if (r == 0)
		r = identity_read(c, &identity);
	if (r == 0 && hello.kind != REPLY_ARRAY)
		r = subscribe(c);
	if (r < 0) {
		connection_close(c);
		return r;
	}
	*ret = c;
	*ret_identity = identity;
	return 0;
}
