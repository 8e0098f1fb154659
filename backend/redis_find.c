/*
 * Finding a value: in one step where the server announces changes. What a key has is read by its size and its first bytes,
 * then a fence tells whether that was one version; small values are whole by that, of larger ones the rest is fetched when
 * it is wanted. What was found once costs one fence from then on, as long as no change was announced.
 *
 * A changed TTL is announced like a changed value. So a value that was read before, and begins as it did, is read whole: it
 * may be the same one still.
 *
 * Where nothing is announced, and for keys that change faster than that, the whole value is read, in one command.
 */
#include "redis_value.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <string.h>

/* A key that changes during as many looks is read whole. */
#define LOOKS_MAX 3

/* For so long, in milliseconds, after it was seen to change between its head and its rest. */
#define HOT_MS 2000

int redis_partial(const void *first, size_t n, uint64_t size, struct slice *ret)
{
	struct storage *storage;
	int r = storage_new_partial(first, n, &storage);
	if (r < 0)
		return r;
	slice_new(storage, 0, size, ret);
	storage_unref(storage);
	return 0;
}

/* Whether what was found is all of one version, which no other has been since: nothing was announced, and all that was is known. */
static bool is_settled(const struct look *look)
{
	struct redis_backend *b = look->b;
	return look->round != 0 && nodes_fence(&b->nodes, look->round) == 0 &&
		changes_of(&b->changes, look->announced, NULL) == look->change;
}

/* Looks until it makes sense. 0, and whether it is settled; -errno. */
static int look_at(struct look *look, const atomic_bool *cancel, bool *ret_settled)
{
	for (unsigned looks = 1;; looks++) {
		int r = nodes_ask(&look->b->nodes, &look->name, redis_look, look, cancel);
		if (r < 0) {
			slice_done(&look->value); /* of an answer that did not count */
			return r;
		}
		/* A whole value is told from others by its content. Only a listing has named it otherwise. */
		bool by_head = look->size > REDIS_LISTED_HEAD && (!look->whole || redis_was_listed(look->b, look->key));
		bool settled = by_head && is_settled(look);
		/* No bytes may also be a key that has only come to be. */
		bool is_sure = settled || (look->whole && (look->size > 0 || look->all));
		if (is_sure) {
			*ret_settled = settled;
			return 0;
		}
		look->all = look->whole || looks == LOOKS_MAX;
	}
}

static struct look look_begin(struct redis_backend *b, const struct key *key, const char *name, size_t n, struct spool *spool)
{
	return (struct look){.b = b, .key = &key->hash, .name = bytes_of(name, n), .announced = nodes_hash(&b->nodes, name, n), .spool = spool};
}

/* --- what it means --- */

static XXH128_hash_t head_of(const struct look *look)
{
	const uint8_t *bytes = look->size ? slice_memory(&look->value) : NULL;
	if (look->size > REDIS_LISTED_HEAD && look->round == 0 && look->whole)
		return redis_hash_ends(look->b, bytes, bytes + look->size - REDIS_LISTED_HEAD);
	return redis_hash(look->b, bytes, look->size < REDIS_LISTED_HEAD ? (size_t)look->size : REDIS_LISTED_HEAD);
}

static bool same(XXH128_hash_t a, XXH128_hash_t b)
{
	return XXH128_isEqual(a, b);
}

/* A version that only a listing has shown, by its head: nobody has read more of it. The value that is read first becomes it. */
static bool becomes_listed(const struct look *look, const struct key_hash *key, const struct record *known)
{
	return known->change == RECORD_NEVER && known->size == look->size && !known->content_known && same(known->head, head_of(look)) &&
		records_claim(&look->b->records, key, &known->version, look->content);
}

/* Names the version of what was found, and fills in what is known of it. `known`: the record of before, NULL: none. */
static void name_version(const struct look *look, const struct key *key, const struct record *known, bool settled, struct record *ret)
{
	struct redis_backend *b = look->b;
	ret->head = head_of(look);
	ret->content_known = look->whole;
	ret->content = look->content;
	bool unchanged = known && known->content_known && look->whole && known->size == look->size && same(known->content, ret->content);
	/* No change since that one was named: it is still the same, by whatever it was named. */
	if (settled && known && known->change == look->change) {
		unchanged = true;
		ret->content_known |= known->content_known;
		ret->content = look->whole ? look->content : known->content;
	}
	if (unchanged || (known && !settled && look->size > REDIS_LISTED_HEAD && becomes_listed(look, &key->hash, known))) {
		ret->version = known->version;
		ret->written = known->written;
		return;
	}
	changes_of(&b->changes, look->announced, &ret->written);
	if (settled)
		redis_version_of_head(b, &key->hash, look->size, ret->head, look->change, &ret->version);
	else
		redis_version_of_content(b, &key->hash, ret->content, &ret->version);
}

/* Whether what was found may be the version that is known, though something of it has changed: its TTL, maybe. */
static bool may_be_same(const struct look *look, const struct record *known)
{
	return !look->whole && known && known->content_known && known->change != look->change && known->size == look->size &&
		same(known->head, head_of(look));
}

/* Remembers what was found, with its value if that is small, else with its head. */
static int remember(const struct look *look, const struct key *key, const struct record *known, bool settled, struct stored *ret)
{
	/* A round that is over by now may have been so before the value was read; one that ends later makes the number an old one. */
	struct record record = {
		.change = nodes_is_on(&look->b->nodes, look->round) ? look->change : RECORD_NEVER,
		.size = look->size,
		.expires = look->expiry.expires,
		.deadline = look->expiry.deadline,
		.whole = look->size <= REDIS_SMALL,
	};
	name_version(look, key, known, settled, &record);
	int r = 0;
	if (record.whole)
		slice_copy(&look->value, &record.value);
	else
		r = slice_new_copy(slice_memory(&look->value), REDIS_HEAD, &record.value);
	record.has_value = r == 0;
	if (r == 0)
		records_put(&look->b->records, &key->hash, &record);
	record_done(&record);
	ret->version = record.version;
	ret->written = record.written;
	return r;
}

static int answer(bool whole, const struct slice *value, struct stored *ret)
{
	if (!whole)
		return redis_partial(slice_memory(value), REDIS_HEAD, ret->size, &ret->value);
	slice_copy(value, &ret->value);
	return 0;
}

/* Whether a key changes so fast that it is read whole. `known`: NULL: nothing is known of it. */
static bool is_hot(const struct record *known)
{
	return known && clock_ms() < known->hot_until;
}

/* Whether the server has to be asked whether it is there still. */
static bool is_over(const struct record *known)
{
	return clock_ms() >= known->deadline || has_expired(known->expires);
}

/* From what is known, if nothing was announced since. 1 and *ret; 0 it has to be looked at; -errno. */
static int find_known(const struct look *look, const struct record *known, struct stored *ret)
{
	struct redis_backend *b = look->b;
	uint64_t round = nodes_round(&b->nodes, &look->name);
	bool usable = known->has_value && (known->whole || !look->all);
	bool current = round != 0 && usable && !is_over(known) && changes_of(&b->changes, look->announced, NULL) == known->change;
	if (!current)
		return 0;
	int r = nodes_confirm(&b->nodes, &look->name, round);
	if (r < 0)
		return r == -ESTALE ? 0 : r;
	/* A server that answers late may have let it expire meanwhile: it says so after that. */
	if (is_over(known) || changes_of(&b->changes, look->announced, NULL) != known->change)
		return 0;
	struct stored stored = {.version = known->version, .written = known->written, .size = known->size, .expires = known->expires};
	r = answer(known->whole, &known->value, &stored);
	if (r < 0)
		return r;
	*ret = stored;
	return 1;
}

static int find_anew(struct look *look, const struct key *key, const struct record *known, const atomic_bool *cancel, struct stored *ret)
{
	bool settled = false;
	int r = look_at(look, cancel, &settled);
	if (r == 0 && may_be_same(look, known)) {
		look->all = true;
		r = look_at(look, cancel, &settled);
	}
	if (r < 0)
		return r;
	struct stored stored = {.size = look->size, .expires = look->expiry.expires};
	r = remember(look, key, known, settled, &stored);
	if (r == 0)
		r = answer(look->whole, &look->value, &stored);
	slice_done(&look->value);
	if (r == 0)
		*ret = stored;
	return r;
}

int redis_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
	struct stored *ret)
{
	struct redis_backend *b = redis_of(backend);
	struct record known = {0};
	size_t n;
	if (!key->text || key->length == 0)
		return -ENOENT;
	cleanup_free char *name = redis_name_new(b, key, &n);
	if (!name)
		return -ENOMEM;
	struct look look = look_begin(b, key, name, n, spool);
	bool is_known = records_get(&b->records, &key->hash, &known);
	/* The head of what changes fast is worth nothing: the rest would be of another version. */
	look.all = whole || is_hot(is_known ? &known : NULL);
	int r = is_known ? find_known(&look, &known, ret) : 0;
	if (r == 0)
		r = find_anew(&look, key, is_known ? &known : NULL, cancel, ret);
	record_done(&known);
	return r < 0 ? r : 0;
}

/* --- the rest of a value --- */

/* Whether what was fetched is the version that was found. What is known of that one then is its content, too. */
static bool is_version(const struct look *look, const struct key *key, const struct version *version, bool settled)
{
	struct redis_backend *b = look->b;
	struct record known;
	struct version by_head;
	redis_version_of_head(b, &key->hash, look->size, head_of(look), look->change, &by_head);
	bool is = settled && version_equal(&by_head, version);
	if (!records_get(&b->records, &key->hash, &known))
		return is;
	if (version_equal(&known.version, version)) {
		if (known.change != RECORD_NEVER)
			is = is || (settled && known.change == look->change);
		else
			is = is || becomes_listed(look, &key->hash, &known);
		is = is || (known.content_known && same(known.content, look->content));
		if (is) {
			known.content_known = true;
			known.content = look->content;
			records_put(&b->records, &key->hash, &known);
		}
	}
	record_done(&known);
	return is;
}

/* Whether what was fetched is all that is known of what a listing has found: as large, and with the same first bytes. */
static bool begins_as(const struct look *look, const struct stored *stored)
{
	uint8_t head[REDIS_LISTED_HEAD];
	return slice_read(&stored->value, 0, head, sizeof head) == 0 && memcmp(head, slice_memory(&look->value), sizeof head) == 0;
}

int redis_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool, const atomic_bool *cancel,
	struct slice *ret)
{
	struct redis_backend *b = redis_of(backend);
	size_t n;
	cleanup_free char *name = redis_name_new(b, key, &n);
	if (!name)
		return -ENOMEM;
	struct look look = look_begin(b, key, name, n, spool);
	look.all = true;
	int r = nodes_ask(&b->nodes, &look.name, redis_look, &look, cancel);
	if (r < 0) {
		slice_done(&look.value);
		return r == -ENOENT ? -ESTALE : r;
	}
	bool is = look.size == stored->value.length &&
		(stored->nameless ? begins_as(&look, stored) : is_version(&look, key, &stored->version, is_settled(&look)));
	if (!is) {
		slice_done(&look.value);
		records_heat(&b->records, &key->hash, clock_ms() + HOT_MS);
		return -ESTALE;
	}
	*ret = look.value;
	return 0;
}

/* --- when a version expires --- */

struct asked_expiry {
	struct look look;
	const struct stored *stored;
	bool is; /* the key still has that version */
};

/* Whether a version has these bytes there. What was not fetched of it cannot tell. */
static bool may_have(const struct slice *value, uint64_t at, const uint8_t *bytes, size_t n)
{
	uint8_t own[REDIS_LISTED_HEAD];
	int r = n > 0 ? slice_read(value, at, own, n) : 0;
	return r == -ENODATA || (r == 0 && memcmp(own, bytes, n) == 0);
}

/* Reads how large a value is, how it begins and how it ends. */
static int read_ends(struct redis_connection *c, struct asked_expiry *a)
{
	const struct slice *value = &a->stored->value;
	const size_t end = value->length < REDIS_LISTED_HEAD ? (size_t)value->length : REDIS_LISTED_HEAD;
	uint8_t first[REDIS_LISTED_HEAD], last[REDIS_LISTED_HEAD];
	size_t first_length = 0, last_length = 0;
	int64_t size = 0;
	int r = connection_integer(c, &size);
	int second = c->broken ? 0 : connection_part(c, first, sizeof first, &first_length);
	int third = c->broken ? 0 : connection_part(c, last, sizeof last, &last_length);
	r = r < 0 ? r : second < 0 ? second : third;
	a->is = r == 0 && (uint64_t)size == value->length && first_length == end && last_length == end && may_have(value, 0, first, end) &&
		may_have(value, value->length - end, last, end);
	return r;
}

/* The value is asked for after the expiry: as long as it is the one of the version, the expiry is, too. */
static int ask_expiry(struct redis_connection *c, void *arg)
{
	struct asked_expiry *a = arg;
	struct look *look = &a->look;
	int64_t asked = clock_ms();
	_Static_assert(REDIS_LISTED_HEAD == 512, "the last byte that is asked for, and the first of the last");
	unsigned count = redis_put_expiry(look->b, c, &look->name);
	connection_put(c, (const struct bytes[]){bytes_of("STRLEN", 6), look->name}, 2);
	connection_put(c, (const struct bytes[]){bytes_of("GETRANGE", 8), look->name, bytes_of("0", 1), bytes_of("511", 3)}, 4);
	connection_put(c, (const struct bytes[]){bytes_of("GETRANGE", 8), look->name, bytes_of("-512", 4), bytes_of("-1", 2)}, 4);
	int r = connection_send(c);
	if (r < 0)
		return r;
	r = redis_read_expiry(look->b, c, count, asked, &look->expiry);
	int second = c->broken ? 0 : read_ends(c, a);
	r = r < 0 ? r : second;
	/* No string: nothing that a cache has stored. */
	return r == -EPROTOTYPE ? -ENOENT : r;
}

int redis_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret)
{
	struct redis_backend *b = redis_of(backend);
	size_t n;
	if (!key->text)
		return -EIO;
	cleanup_free char *name = redis_name_new(b, key, &n);
	if (!name)
		return -ENOMEM;
	struct asked_expiry asked = {.look = look_begin(b, key, name, n, NULL), .stored = stored};
	int r = nodes_ask(&b->nodes, &asked.look.name, ask_expiry, &asked, NULL);
	if (r == -ENOENT || (r == 0 && !asked.is))
		return -ESTALE;
	if (r == 0)
		*ret = asked.look.expiry.expires;
	return r;
}
