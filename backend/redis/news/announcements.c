#include "announcements.h"

#include "backend/redis/wire/nested.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define CHANNEL "__redis__:invalidate"

/* No server takes a longer key. */
#define KEY_BYTES_MAX (INT64_C(512) << 20)

/* No message names more keys. If one does, the round begins anew. */
#define MESSAGE_KEYS_MAX (1 << 20)

/* Keys are read in pieces of so many bytes. Hardly any key is longer. */
#define PIECE ((size_t)4 << 10)

/* No name of a message is longer. */
#define WORD_MAX 64

uint64_t announced_hash(uint64_t seed, const void *key, size_t n)
{
	return XXH3_64bits_withSeed(key, n, seed);
}

/* --- reading --- */

/* announced_hash() of the next n bytes, piece by piece: a server may claim any length of a key. */
static int read_hash(struct redis_connection *c, uint64_t seed, size_t n, uint64_t *ret)
{
	uint8_t piece[PIECE];
	XXH3_state_t *state = n > sizeof piece ? XXH3_createState() : NULL;
	if (n > sizeof piece && !state)
		return -ENOMEM;
	if (state)
		XXH3_64bits_reset_withSeed(state, seed);
	int r = 0;
	for (size_t left = n, part; r == 0 && left > 0; left -= part) {
		part = left < sizeof piece ? left : sizeof piece;
		r = connection_read(c, piece, part);
		if (state && r == 0)
			XXH3_64bits_update(state, piece, part);
	}
	*ret = state ? XXH3_64bits_digest(state) : announced_hash(seed, piece, n);
	XXH3_freeState(state);
	return r;
}

static int read_key(struct redis_connection *c, uint64_t seed, struct changes *changes)
{
	uint64_t n = 0, hash = 0;
	int r = connection_string_or_nil(c, KEY_BYTES_MAX, &n);
	if (r <= 0)
		return r;
	r = read_hash(c, seed, (size_t)n, &hash);
	if (r == 0)
		r = connection_string_end(c);
	if (r == 0)
		changes_note(changes, hash);
	return r;
}

/* The keys that changed. None: all keys did. */
static int read_keys(struct redis_connection *c, uint64_t seed, struct changes *changes)
{
	struct reply reply = {0};
	int r = connection_head(c, &reply);
	if (r == 0 && (reply.kind == REPLY_NIL || reply.kind == REPLY_NOTHING))
		changes_note_all(changes);
	else if (r == 0 && (reply.kind != REPLY_ARRAY || reply.number > MESSAGE_KEYS_MAX))
		r = -EIO;
	for (int64_t i = 0; r == 0 && reply.kind == REPLY_ARRAY && i < reply.number; i++)
		r = read_key(c, seed, changes);
	return r;
}

/* Reads a message after its name: `left` more parts. */
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
	/* Also where nothing but a PING and changes is refused. */
	*ret_pong = r == 0 && (head.kind == REPLY_STATUS || (head.kind == REPLY_ERROR && reply_errno(&head.text) == REPLY_READERS_ONLY));
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

/* Subscribes to the channel that RESP2 has instead of pushes. */
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
