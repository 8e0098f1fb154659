/*
 * Finds values: in one step where the server announces changes. Size and first bytes are read, then a fence tells whether both are of one
 * version. A small value is whole then; the rest of a larger one is fetched when it is wanted. What was found once costs one fence from
 * then on, as long as no change is announced.
 *
 * Where nothing is announced, and for keys that change too fast, the whole value is read by one command.
 *
 * How a version is named, and whether more has to be read for that, is decided in version_rules.c alone.
 */
#include "find.h"
#include "key.h"
#include "value.h"

#include "backend/remote/key_prefix.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <string.h>

static struct look look_begin(struct redis_backend *b, const struct key *key, const char *name, size_t n, struct spool *spool)
{
	return (struct look){.b = b, .key = &key->hash, .name = bytes_of(name, n), .announced = nodes_hash(&b->nodes, name, n), .spool = spool};
}

/* --- what was seen --- */

static void ask_fence(const struct look *look, struct sighting *seen)
{
	bool fenced = look->round != 0 && nodes_fence(&look->b->nodes, look->round) == 0;
	version_settle(seen, fenced, changes_of(&look->b->changes, look->announced, NULL));
}

static struct sighting seen_by(const struct look *look)
{
	const uint8_t *bytes = look->size ? slice_memory(&look->value) : NULL;
	bool by_ends = look->round == 0 && look->whole && look->size > REDIS_LISTED_HEAD;
	return (struct sighting){
		.seed = look->b->seed,
		.key = look->key,
		.asked_whole = look->all,
		.size = look->size,
		.torn = look->torn,
		.head = version_head(look->b->seed, look->size, bytes, by_ends ? bytes + look->size - REDIS_LISTED_HEAD : NULL),
		.whole = look->whole,
		.content = look->content,
		.announced = look->round != 0,
		.change = look->change,
		.listed = redis_was_listed(look->b, look->key),
	};
}

/* Looks until the version can be named. `known`: NULL: nothing. */
static int look_at(struct look *look, const struct known_version *known, const atomic_bool *cancel, struct sighting *ret_seen,
	enum version_rule *ret_rule)
{
	for (unsigned looks = 1;; looks++) {
		int r = nodes_ask(&look->b->nodes, &look->name, redis_look, look, cancel);
		if (r < 0)
			return r;
		struct sighting seen = seen_by(look);
		seen.looks = looks;
		if (version_needs_fence(&seen))
			ask_fence(look, &seen);
		enum version_rule rule = version_choose(&seen, known);
		if (rule == VERSION_READ_WHOLE)
			look->all = true;
		if (rule != VERSION_READ_WHOLE && rule != VERSION_LOOK_AGAIN) {
			*ret_seen = seen;
			*ret_rule = rule;
			return 0;
		}
	}
}

/* --- what it means --- */

static void name_found(const struct look *look, struct sighting *seen, enum version_rule rule, const struct known_version *known,
	struct known_version *ret)
{
	struct redis_backend *b = look->b;
	/* A round that is over by now may have been so before the value was read; one that ends later makes the number an old one. */
	seen->still_announced = nodes_is_on(&b->nodes, look->round);
	changes_of(&b->changes, look->announced, &seen->written);
	if (rule == VERSION_CLAIMED && !records_claim(&b->records, look->key, &known->version, look->content))
		rule = VERSION_BY_CONTENT;
	version_name(seen, rule, known, 0, ret);
}

/* Remembers what was found, with its value if that is small, else with its head. */
static int remember(const struct look *look, const struct known_version *found)
{
	cleanup_with(record_done) struct record record = {
		.known = *found,
		.expires = look->expiry.expires,
		.deadline = look->expiry.deadline,
		.whole = look->size <= REDIS_SMALL,
	};
	int r = 0;
	if (record.whole)
		slice_copy(&look->value, &record.value);
	else
		r = slice_new_copy(slice_memory(&look->value), REDIS_HEAD, &record.value);
	record.has_value = r == 0;
	if (r == 0)
		records_put(&look->b->records, look->key, &record);
	return r;
}

static int answer(const struct known_version *known, int64_t expires, bool whole, const struct slice *value, struct stored *ret)
{
	struct stored stored = {.version = known->version, .written = known->written, .size = known->size, .expires = expires};
	int r = 0;
	if (whole)
		slice_copy(value, &stored.value);
	else
		r = slice_new_partial(slice_memory(value), REDIS_HEAD, known->size, &stored.value);
	if (r == 0)
		*ret = stored;
	return r;
}

/* Whether the server has to be asked whether it is there still. */
static bool is_over(const struct record *record)
{
	return clock_ms() >= record->deadline || has_expired(record->expires);
}

static bool is_current(const struct look *look, const struct record *record, uint64_t round)
{
	return !is_over(record) && version_is_current(&record->known, round != 0, changes_of(&look->b->changes, look->announced, NULL));
}

/* From what is known, if nothing was announced since. 1 and *ret; 0 it has to be looked at; -errno. */
static int find_known(const struct look *look, const struct record *record, struct stored *ret)
{
	uint64_t round = nodes_round(&look->b->nodes, &look->name);
	bool usable = record->has_value && (record->whole || !look->all);
	if (!usable || !is_current(look, record, round))
		return 0;
	int r = nodes_confirm(&look->b->nodes, &look->name, round);
	if (r < 0)
		return r == -ESTALE ? 0 : r;
	/* A server that answers late may have let it expire meanwhile: it says so after that. */
	if (!is_current(look, record, round))
		return 0;
	r = answer(&record->known, record->expires, record->whole, &record->value, ret);
	return r < 0 ? r : 1;
}

static int find_anew(struct look *look, const struct known_version *known, const atomic_bool *cancel, struct stored *ret)
{
	struct sighting seen;
	struct known_version found;
	enum version_rule rule;
	int r = look_at(look, known, cancel, &seen, &rule);
	if (r < 0)
		return r;
	name_found(look, &seen, rule, known, &found);
	r = remember(look, &found);
	return r < 0 ? r : answer(&found, look->expiry.expires, look->whole, &look->value, ret);
}

int redis_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
	struct stored *ret)
{
	struct redis_backend *b = redis_of(backend);
	size_t n;
	if (!key->text || key->length == 0)
		return -ENOENT;
	cleanup_free char *name = key_prefix_put(&b->backend, key, &n);
	if (!name)
		return -ENOMEM;
	cleanup_with(look_done) struct look look = look_begin(b, key, name, n, spool);
	cleanup_with(record_done) struct record record = {0};
	bool is_known = records_get(&b->records, &key->hash, &record);
	look.all = whole;
	int r = is_known ? find_known(&look, &record, ret) : 0;
	if (r == 0)
		r = find_anew(&look, is_known ? &record.known : NULL, cancel, ret);
	return r < 0 ? r : 0;
}

/* --- the rest of a value --- */

/* Whether what was fetched is the version that was found. Its content is known then. */
static bool is_version(const struct look *look, const struct version *version)
{
	struct records *records = &look->b->records;
	cleanup_with(record_done) struct record record = {0};
	struct sighting seen = seen_by(look);
	ask_fence(look, &seen);
	bool is_known = records_get(records, look->key, &record);
	enum version_rule rule = version_fetched(&seen, is_known ? &record.known : NULL, version);
	bool claimed = rule != VERSION_OTHER && records_claim(records, look->key, version, look->content);
	return rule == VERSION_SAME || claimed;
}

/* Whether what was fetched begins as what a listing has found without naming it: more is not known of that. */
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
	cleanup_free char *name = key_prefix_put(&b->backend, key, &n);
	if (!name)
		return -ENOMEM;
	cleanup_with(look_done) struct look look = look_begin(b, key, name, n, spool);
	look.all = true;
	int r = nodes_ask(&b->nodes, &look.name, redis_look, &look, cancel);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	bool is = look.size == stored->value.length && (stored->nameless ? begins_as(&look, stored) : is_version(&look, &stored->version));
	if (!is)
		return -ESTALE;
	slice_copy(&look.value, ret);
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
	uint64_t size = 0;
	int r = connection_length(c, &size);
	int second = c->stream.broken ? 0 : connection_part(c, first, sizeof first, &first_length);
	int third = c->stream.broken ? 0 : connection_part(c, last, sizeof last, &last_length);
	r = r < 0 ? r : second < 0 ? second : third;
	a->is = r == 0 && size == value->length && first_length == end && last_length == end && may_have(value, 0, first, end) &&
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
	unsigned count = redis_put_expiry(c, &look->name);
	connection_put(c, (const struct bytes[]){bytes_of("STRLEN", 6), look->name}, 2);
	connection_put(c, (const struct bytes[]){bytes_of("GETRANGE", 8), look->name, bytes_of("0", 1), bytes_of("511", 3)}, 4);
	connection_put(c, (const struct bytes[]){bytes_of("GETRANGE", 8), look->name, bytes_of("-512", 4), bytes_of("-1", 2)}, 4);
	int r = connection_send(c);
	if (r < 0)
		return r;
	r = redis_read_expiry(c, count, asked, &look->expiry);
	int second = c->stream.broken ? 0 : read_ends(c, a);
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
	cleanup_free char *name = key_prefix_put(&b->backend, key, &n);
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
