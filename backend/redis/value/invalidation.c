#include "invalidation.h"

#include "blake3.h"

#include "ckfs/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* No field of an event is longer: a longer key is left out, which means all of the function's. */
#define FIELD_MAX 1024

#define HASH_SIZE 8
#define HEX_SIZE (2 * HASH_SIZE)

/* The SDK cuts longer names. */
#define FUNCTION_MAX 200

/* What a key tells of its function. */
struct function {
	struct bytes namespace;
	struct bytes name; /* empty: only its hash is known */
	char hash[HEX_SIZE + 1];
};

/* Where the last `word` begins in the text; NULL: it is not there. */
static const char *find_last(struct bytes text, const char *word)
{
	const size_t n = strlen(word);
	for (size_t at = text.left; at >= n; at--)
		if (memcmp(text.p + at - n, word, n) == 0)
			return (const char *)text.p + at - n;
	return NULL;
}

static struct bytes between(const void *from, const char *to)
{
	return bytes_of(from, (size_t)(to - (const char *)from));
}

/* [ns:NAMESPACE:]func:NAME:args:… */
static bool read_generated(struct bytes key, struct function *ret)
{
	const char *args = find_last(key, ":args:");
	if (!args)
		return false;
	struct bytes head = between(key.p, args);
	struct bytes plain = head;
	if (bytes_match(&plain, "func:", 5)) {
		*ret = (struct function){.name = plain};
		return true;
	}
	const char *func = find_last(head, ":func:");
	if (!func || !bytes_match(&head, "ns:", 3) || func < (const char *)head.p)
		return false;
	*ret = (struct function){.namespace = between(head.p, func), .name = between(func + 6, args)};
	return true;
}

/* HASH-NAMESPACE:…, of a function with keys of its own. */
static bool read_custom(struct bytes key, struct function *ret)
{
	static const char usual[] = "default";
	const char *colon = key.left > HEX_SIZE ? memchr(key.p + HEX_SIZE, ':', key.left - HEX_SIZE) : NULL;
	if (!colon || key.p[HEX_SIZE] != '-')
		return false;
	for (size_t i = 0; i < HEX_SIZE; i++)
		if (!strchr("0123456789abcdef", key.p[i]) || !key.p[i])
			return false;
	*ret = (struct function){.namespace = between(key.p + HEX_SIZE + 1, colon)};
	if (ret->namespace.left == sizeof usual - 1 && memcmp(ret->namespace.p, usual, sizeof usual - 1) == 0)
		ret->namespace.left = 0;
	memcpy(ret->hash, key.p, HEX_SIZE);
	return true;
}

/* --- events --- */

static void put_text(struct buf *buf, const char *before, size_t n_before, struct bytes text, const char *after)
{
	size_t n = n_before + text.left + strlen(after);
	const uint8_t head[] = {0xda, (uint8_t)(n >> 8), (uint8_t)n};
	buf_put(buf, head, sizeof head);
	buf_put(buf, before, n_before);
	buf_put(buf, text.p, text.left);
	buf_puts(buf, after);
}

static void add_event(struct bytes key, const struct function *function, const char *hash, struct invalidation *ret)
{
	static const char begins[] = "ck:reg:";
	char end[HEX_SIZE + 2];
	struct buf *event = &ret->events[ret->count];
	const bool has_key = key.left <= FIELD_MAX;
	snprintf(end, sizeof end, ":%s", hash);
	if (sizeof begins - 1 + function->namespace.left + strlen(end) > FIELD_MAX)
		return;
	buf_put(event, has_key ? "\x82\xa1r" : "\x81\xa1r", 3);
	put_text(event, begins, sizeof begins - 1, function->namespace, end);
	if (has_key) {
		buf_put(event, "\xa1k", 2);
		put_text(event, "", 0, key, "");
	}
	ret->count++;
}

/* Replaces each `from` by `to`, of the same length. Whether there was one. */
static bool replace(char *text, size_t n, const char *from, const char *to)
{
	bool any = false;
	const size_t length = strlen(from);
	for (char *at = text; (at = memmem(at, n - (size_t)(at - text), from, length)); at += length) {
		memcpy(at, to, length);
		any = true;
	}
	return any;
}

static void hash_name(const char *name, size_t n, char ret[HEX_SIZE + 1])
{
	uint8_t hash[BLAKE3_SIZE];
	blake3_short(name, n, hash);
	for (size_t i = 0; i < HASH_SIZE; i++)
		snprintf(ret + 2 * i, 3, "%02x", hash[i]);
}

static void add_named(struct bytes key, const struct function *function, struct invalidation *ret)
{
	char name[FUNCTION_MAX], hash[HEX_SIZE + 1];
	const size_t n = function->name.left;
	if (n > sizeof name)
		return;
	memcpy(name, function->name.p, n);
	hash_name(name, n, hash);
	add_event(key, function, hash, ret);
	bool is_local = replace(name, n, "_locals_", "<locals>");
	if (replace(name, n, "_lambda_", "<lambda>") || is_local) {
		hash_name(name, n, hash);
		add_event(key, function, hash, ret);
	}
}

/* Without what stands before the keys of a tenant, where the mount shows that, too. */
static struct bytes without_tenant(struct bytes key)
{
	struct bytes rest = key;
	const uint8_t *colon = bytes_match(&rest, "t:", 2) ? memchr(rest.p, ':', rest.left) : NULL;
	return colon ? bytes_of(colon + 1, (size_t)(key.p + key.left - colon - 1)) : key;
}

int invalidation_of(const struct key *key, struct invalidation *ret)
{
	const struct bytes text = without_tenant(bytes_of(key->text, key->length));
	struct function function;
	*ret = (struct invalidation){.count = 0};
	if (read_generated(text, &function))
		add_named(text, &function, ret);
	else if (read_custom(text, &function))
		add_event(text, &function, function.hash, ret);
	for (unsigned i = 0; i < ret->count; i++)
		if (ret->events[i].failed) {
			invalidation_done(ret);
			return -ENOMEM;
		}
	return 0;
}

void invalidation_done(struct invalidation *invalidation)
{
	for (unsigned i = 0; i < INVALIDATION_EVENTS; i++)
		buf_done(&invalidation->events[i]);
	invalidation->count = 0;
}
