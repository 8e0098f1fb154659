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
#include "redis.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <string.h>

/* A key that changes during as many looks is read whole. */
#define LOOKS_MAX 3

/* So many bytes of a value are hashed while they are still at hand. */
#define PIECE ((size_t)256 << 10)

struct look {
	struct redis_backend *b;
	const struct key_hash *key;
	struct bytes name;
	uint64_t announced; /* what announcements name it by */
	struct spool *spool;
	bool all; /* the whole value is wanted */

	/* what was found */
	uint64_t round;  /* of the listener; 0: nobody will hear of changes */
	uint64_t change; /* number of the last one before it was asked */
	uint64_t size;
	bool whole;
	struct slice value; /* all of it, or the first bytes, in memory */
	XXH128_hash_t content; /* of a whole value */
	struct expiry expiry;
};

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

/* --- asking --- */

/* Of a string that is read whole into plain memory. */
static int read_small(struct redis_connection *c, size_t n, struct slice *ret)
{
	struct storage *storage;
	cleanup_free uint8_t *memory = malloc(n ? n : 1);
	if (!memory)
		return -ENOMEM;
	int r = connection_read(c, memory, n);
	if (r == 0)
		r = connection_string_end(c);
	if (r == 0)
		r = storage_new_memory(memory, &storage);
	if (r < 0)
		return r;
	memory = NULL;
	slice_new(storage, 0, n, ret);
	storage_unref(storage);
	return 0;
}

/* n bytes from the socket to where they stay, and their hash. */
static int read_hashed(struct redis_connection *c, const struct redis_backend *b, uint8_t *to, uint64_t n, XXH128_hash_t *ret)
{
	XXH3_state_t *state = XXH3_createState();
	if (!state)
		return -ENOMEM;
	XXH3_128bits_reset_withSeed(state, b->seed);
	int r = 0;
	for (uint64_t at = 0; r == 0 && at < n;) {
		size_t piece = n - at < PIECE ? (size_t)(n - at) : PIECE;
		r = connection_read(c, to + at, piece);
		if (r == 0)
			XXH3_128bits_update(state, to + at, piece);
		at += piece;
	}
	*ret = XXH3_128bits_digest(state);
	XXH3_freeState(state);
	return r;
}

static int read_large(struct redis_connection *c, struct look *look, uint64_t n)
{
	struct spool_writer writer;
	int r = spool_begin(look->spool, n, false, &writer);
	if (r < 0)
		return r;
	r = read_hashed(c, look->b, writer.sink.p, n, &look->content);
	if (r == 0)
		r = connection_string_end(c);
	if (r < 0) {
		spool_abort(&writer);
		return r;
	}
	writer.sink.p += n;
	return spool_end(&writer, &look->value);
}

static void hash_small(struct look *look)
{
	look->content = redis_hash(look->b, look->size ? slice_memory(&look->value) : NULL, (size_t)look->size);
}

static int read_value(struct redis_connection *c, struct look *look)
{
	int64_t n = 0;
	int r = connection_string(c, REPLY_STRING_MAX, &n);
	if (r == 0 && n < 0)
		r = -ENOENT;
	if (r == 0)
		r = n <= REDIS_SMALL ? read_small(c, (size_t)n, &look->value) : read_large(c, look, (uint64_t)n);
	if (r < 0)
		return r;
	look->size = (uint64_t)n;
	look->whole = true;
	if (n <= REDIS_SMALL)
		hash_small(look);
	return 0;
}

static int ask_whole(struct redis_connection *c, struct look *look)
{
	int64_t asked = clock_ms();
	connection_put(c, (const struct bytes[]){bytes_of("GET", 3), look->name}, 2);
	unsigned count = redis_put_expiry(look->b, c, &look->name);
	int r = connection_send(c);
	if (r < 0)
		return r;
	r = read_value(c, look);
	/* What is left unread of a string costs the connection. */
	if (c->broken || c->string_owed)
		return r;
	int second = redis_read_expiry(look->b, c, count, asked, &look->expiry);
	return r < 0 ? r : second;
}

static int read_head(struct redis_connection *c, struct look *look)
{
	int64_t size = 0, n = 0;
	int r = connection_integer(c, &size);
	if (c->broken)
		return r;
	int second = connection_string(c, REDIS_SMALL, &n);
	if (second == 0 && n >= 0)
		second = read_small(c, (size_t)n, &look->value);
	if (r < 0 || second < 0)
		return second < 0 && second != -EPROTOTYPE ? second : r;
	/* GETRANGE is one command: what it does not fill is all there is. */
	look->whole = n < REDIS_SMALL || size <= n;
	look->size = look->whole ? (uint64_t)n : (uint64_t)size;
	if (look->whole)
		hash_small(look);
	return 0;
}

static int ask_head(struct redis_connection *c, struct look *look)
{
	static const char last[] = "65535";
	int64_t asked = clock_ms();
	connection_put(c, (const struct bytes[]){bytes_of("STRLEN", 6), look->name}, 2);
	connection_put(c, (const struct bytes[]){bytes_of("GETRANGE", 8), look->name, bytes_of("0", 1), bytes_of(last, sizeof last - 1)}, 4);
	unsigned count = redis_put_expiry(look->b, c, &look->name);
	int r = connection_send(c);
	if (r < 0)
		return r;
	r = read_head(c, look);
	if (c->broken || c->string_owed)
		return r;
	int second = redis_read_expiry(look->b, c, count, asked, &look->expiry);
	return r < 0 ? r : second;
}

static int ask(struct redis_connection *c, void *arg)
{
	struct look *look = arg;
	slice_done(&look->value); /* of a try before */
	look->round = c->armed ? c->round : 0;
	look->change = changes_of(&look->b->changes, look->announced, NULL);
	int r = look->all || !c->armed ? ask_whole(c, look) : ask_head(c, look);
	if (r < 0)
		slice_done(&look->value);
	/* No string: nothing that a cache has stored. */
	return r == -EPROTOTYPE ? -ENOENT : r == -ENOSYS ? -EIO : r;
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
		int r = nodes_ask(&look->b->nodes, &look->name, ask, look, cancel);
		if (r < 0) {
			slice_done(&look->value); /* of an answer that did not count */
			return r;
		}
		/* A whole value is told from others by its content. Only a listing has named it otherwise. */
		bool by_head = look->size > REDIS_LISTED_HEAD && (!look->whole || redis_was_listed(look->b, look->key));
		bool settled = by_head && is_settled(look);
		if (settled || look->whole) {
			*ret_settled = settled;
			return 0;
		}
		look->all = looks == LOOKS_MAX;
	}
}

static struct look look_begin(struct redis_backend *b, const struct key *key, const char *name, size_t n, struct spool *spool)
{
	return (struct look){.b = b, .key = &key->hash, .name = bytes_of(name, n), .announced = nodes_hash(&b->nodes, name, n), .spool = spool};
}

/* --- what it means --- */

static XXH128_hash_t head_of(const struct look *look)
{
	size_t n = look->size < REDIS_LISTED_HEAD ? (size_t)look->size : REDIS_LISTED_HEAD;
	return redis_hash(look->b, n ? slice_memory(&look->value) : NULL, n);
}

static bool same(XXH128_hash_t a, XXH128_hash_t b)
{
	return XXH128_isEqual(a, b);
}

/* A version that only a listing has shown, by its head: nobody has read more of it. The value that is read first becomes it. */
static bool is_only_listed(const struct record *known, const struct look *look)
{
	return known->change == RECORD_NEVER && known->size == look->size && !known->content_known && same(known->head, head_of(look));
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
	if (unchanged || (known && !settled && look->size > REDIS_LISTED_HEAD && is_only_listed(known, look))) {
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
	struct record record = {
		.change = look->round ? look->change : RECORD_NEVER,
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

/* From what is known, if nothing was announced since. 1 and *ret; 0 it has to be looked at; -errno. */
static int find_known(const struct look *look, const struct record *known, struct stored *ret)
{
	struct redis_backend *b = look->b;
	uint64_t round = nodes_round(&b->nodes, &look->name);
	/* The head of what changes fast is worth nothing: the rest would be of another version. */
	bool usable = known->has_value && (known->whole || clock_ms() >= known->hot_until);
	bool current = round != 0 && usable && clock_ms() < known->deadline && !has_expired(known->expires) &&
		changes_of(&b->changes, look->announced, NULL) == known->change;
	if (!current)
		return 0;
	int r = nodes_confirm(&b->nodes, &look->name, round);
	if (r < 0)
		return r == -ESTALE ? 0 : r;
	if (changes_of(&b->changes, look->announced, NULL) != known->change)
		return 0;
	struct stored stored = {.version = known->version, .written = known->written, .size = known->size, .expires = known->expires};
	r = answer(known->whole, &known->value, &stored);
	if (r < 0)
		return r;
	*ret = stored;
	return 1;
}

static int find_anew(struct look *look, const struct key *key, const struct record *known, struct stored *ret)
{
	bool settled = false;
	look->all = known && clock_ms() < known->hot_until;
	int r = look_at(look, NULL, &settled);
	if (r == 0 && may_be_same(look, known)) {
		look->all = true;
		r = look_at(look, NULL, &settled);
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

int redis_find(struct backend *backend, const struct key *key, struct spool *spool, struct stored *ret)
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
	int r = is_known ? find_known(&look, &known, ret) : 0;
	if (r == 0)
		r = find_anew(&look, key, is_known ? &known : NULL, ret);
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
			is = is || is_only_listed(&known, look);
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
	int r = nodes_ask(&b->nodes, &look.name, ask, &look, cancel);
	if (r < 0) {
		slice_done(&look.value);
		return r == -ENOENT ? -ESTALE : r;
	}
	if (look.size != stored->value.length || !is_version(&look, key, &stored->version, is_settled(&look))) {
		slice_done(&look.value);
		records_heat(&b->records, &key->hash, clock_ms() + REDIS_HOT_MS);
		return -ESTALE;
	}
	*ret = look.value;
	return 0;
}

/* --- */

static int ask_expiry(struct redis_connection *c, void *arg)
{
	struct look *look = arg;
	int64_t asked = clock_ms();
	unsigned count = redis_put_expiry(look->b, c, &look->name);
	int r = connection_send(c);
	return r < 0 ? r : redis_read_expiry(look->b, c, count, asked, &look->expiry);
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
	struct look look = look_begin(b, key, name, n, NULL);
	int r = nodes_ask(&b->nodes, &look.name, ask_expiry, &look, NULL);
	/* Gone, and with it what it said. */
	if (r == -ENOENT) {
		*ret = stored->expires;
		return 0;
	}
	if (r == 0)
		*ret = look.expiry.expires;
	return r;
}
