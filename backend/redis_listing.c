/*
 * Listings: SCAN, page by page (redis_scan.c). It may give a key more than once, so keys are remembered by a fingerprint. Where sizes and
 * heads are wanted they are read for many keys at a time, from the server that has given them; a key that has left it since is
 * looked for on its own.
 */
#include "redis.h"
#include "redis_scan.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/seen.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Keys that one SCAN looks at, and of which heads are read at a time. */
#define PAGE_COUNT "1000"
#define HEADS_MAX 200

#define NAME_BYTES_LIMIT (INT64_C(512) << 20)

/* For so long, in milliseconds, what was asked of a key is as good as new. */
#define FRESH_MS 100

/* A key of which nothing is known yet. */
#define UNSEEN 1

struct scanned {
	struct key key; /* without the prefix */
	int r;          /* UNSEEN; 0, and `stored`; -errno */
	struct stored stored;
};

struct redis_cursor {
	struct cursor cursor;
	struct redis_backend *backend;
	struct seen seen;
	uint64_t seed; /* of the fingerprints */
	char *pattern; /* of the prefix; NULL: there is none */
	struct scan scan;
	char at[24];   /* the server's next cursor */
	bool ended;    /* there are no more pages */
	struct scanned *page;
	size_t count, capacity, next;
	int64_t looked_at; /* monotonic ms: when what is known of the page's keys was asked */
};

static struct redis_cursor *cursor_of(struct cursor *cursor)
{
	return (struct redis_cursor *)cursor;
}

static void drop_page(struct redis_cursor *c)
{
	for (size_t i = 0; i < c->count; i++) {
		key_done(&c->page[i].key);
		if (c->page[i].r == 0)
			stored_done(&c->page[i].stored);
	}
	c->count = c->next = 0;
}

/* --- a page of keys --- */

static int add_key(struct redis_cursor *c, const char *name, size_t n)
{
	const struct backend *b = &c->backend->backend;
	if (n <= b->prefix_length || memcmp(name, b->prefix, b->prefix_length) != 0)
		return 0;
	if (c->count == c->capacity) {
		size_t capacity = c->capacity ? c->capacity * 2 : 1024;
		struct scanned *page = realloc(c->page, capacity * sizeof *page);
		if (!page)
			return -ENOMEM;
		c->page = page;
		c->capacity = capacity;
	}
	struct scanned *s = &c->page[c->count];
	*s = (struct scanned){.r = UNSEEN};
	int r = key_from_text(name + b->prefix_length, n - b->prefix_length, &s->key);
	c->count += r == 0;
	return r;
}

static int read_key(struct redis_cursor *c, struct redis_connection *connection)
{
	char *name;
	size_t n;
	int r = connection_text(connection, NAME_BYTES_LIMIT, &name, &n);
	if (r < 0 || !name)
		return r;
	r = add_key(c, name, n);
	free(name);
	return r;
}

/* [cursor, [key…]] */
static int read_page(struct redis_cursor *c, struct redis_connection *connection, char next[24])
{
	char *at = NULL;
	size_t n;
	int64_t count;
	int r = connection_array(connection, &count);
	if (r == 0 && count != 2)
		r = -EIO;
	if (r == 0)
		r = connection_text(connection, 20, &at, &n);
	if (r == 0 && !at)
		r = -EIO;
	if (r == 0)
		strcpy(next, at);
	free(at);
	if (r == 0)
		r = connection_array(connection, &count);
	for (int64_t i = 0; r == 0 && i < count; i++)
		r = read_key(c, connection);
	return r;
}

static int ask_page(struct redis_connection *connection, void *arg)
{
	struct redis_cursor *c = arg;
	struct bytes words[8];
	size_t n = 0;
	drop_page(c);
	words[n++] = bytes_of("SCAN", 4);
	words[n++] = bytes_of(c->scan.at, strlen(c->scan.at));
	words[n++] = bytes_of("COUNT", 5);
	words[n++] = bytes_of(PAGE_COUNT, sizeof PAGE_COUNT - 1);
	if (c->pattern) {
		words[n++] = bytes_of("MATCH", 5);
		words[n++] = bytes_of(c->pattern, strlen(c->pattern));
	}
	if (!atomic_load(&c->backend->lacks_scan_type)) {
		words[n++] = bytes_of("TYPE", 4);
		words[n++] = bytes_of("string", 6);
	}
	connection_put(connection, words, n);
	int r = connection_send(connection);
	if (r == 0)
		r = read_page(c, connection, c->at);
	return r;
}

/* What a key holds, on a server that cannot tell by SCAN. */
static int ask_types(struct redis_connection *connection, void *arg)
{
	struct redis_cursor *c = arg;
	int r = 0;
	for (size_t i = 0; i < c->count; i++) {
		size_t n;
		cleanup_free char *name = redis_name_new(c->backend, &c->page[i].key, &n);
		if (!name)
			return -ENOMEM;
		connection_put(connection, (const struct bytes[]){bytes_of("TYPE", 4), bytes_of(name, n)}, 2);
	}
	r = connection_send(connection);
	for (size_t i = 0; r == 0 && i < c->count; i++) {
		struct reply reply;
		struct bytes text;
		r = connection_head(connection, &reply);
		text = reply.text;
		if (r == 0 && reply.kind == REPLY_STATUS && (text.left != 6 || !bytes_match(&text, "string", 6)))
			c->page[i].r = -ENOENT;
	}
	return r;
}

static int next_page(struct redis_cursor *c)
{
	struct redis_backend *b = c->backend;
	drop_page(c);
	int r = scan_go_on(&c->scan);
	c->ended = r == 0;
	if (r <= 0)
		return r;
	r = scan_ask(&c->scan, ask_page, c);
	if (r == -ENOSYS && !atomic_exchange(&b->lacks_scan_type, true))
		r = scan_ask(&c->scan, ask_page, c);
	if (r == 0 && atomic_load(&b->lacks_scan_type))
		r = scan_ask(&c->scan, ask_types, c);
	if (r == 0 && !scan_moved(&c->scan, c->at))
		drop_page(c);
	if (r == -ESTALE) {
		drop_page(c);
		scan_again(&c->scan);
		return 0;
	}
	return r == -ENOSYS || r == -EPROTOTYPE ? -EIO : r;
}

/* --- heads --- */

struct heads {
	struct redis_cursor *cursor;
	size_t count;
	uint64_t round;
	struct head {
		struct scanned *scanned;
		uint64_t announced, change, size;
		size_t length;
		uint8_t bytes[REDIS_LISTED_HEAD];
		struct expiry expiry;
		int r;
	} heads[HEADS_MAX];
};

static uint64_t fingerprint(const struct redis_cursor *c, const struct key *key)
{
	return XXH3_64bits_withSeed(key->text, key->length, c->seed);
}

static int put_head(struct heads *h, struct head *head, struct redis_connection *connection)
{
	struct redis_backend *b = h->cursor->backend;
	static const char last[] = "511";
	size_t n;
	cleanup_free char *text = redis_name_new(b, &head->scanned->key, &n);
	if (!text)
		return -ENOMEM;
	const struct bytes name = bytes_of(text, n);
	head->announced = nodes_hash(&b->nodes, text, n);
	head->change = changes_of(&b->changes, head->announced, NULL);
	connection_put(connection, (const struct bytes[]){bytes_of("STRLEN", 6), name}, 2);
	connection_put(connection, (const struct bytes[]){bytes_of("GETRANGE", 8), name, bytes_of("0", 1), bytes_of(last, sizeof last - 1)}, 4);
	connection_put(connection, (const struct bytes[]){bytes_of("PTTL", 4), name}, 2);
	return 0;
}

static void read_head(struct heads *h, struct head *head, struct redis_connection *connection, int64_t asked)
{
	int64_t size = 0, n = 0;
	int r = connection_integer(connection, &size), second = 0;
	if (!connection->broken)
		second = connection_string(connection, sizeof head->bytes, &n);
	if (second == 0 && !connection->broken) {
		head->length = n < 0 ? 0 : (size_t)n;
		second = connection_read(connection, head->bytes, head->length);
		if (second == 0)
			second = connection_string_end(connection);
	}
	r = r < 0 ? r : second;
	if (!connection->broken) {
		second = redis_read_expiry(h->cursor->backend, connection, 1, asked, &head->expiry);
		r = r < 0 ? r : second;
	}
	/* GETRANGE is one command: what it does not fill is all there is. */
	bool whole = head->length < sizeof head->bytes || size <= (int64_t)head->length;
	head->size = whole ? head->length : (uint64_t)size;
	head->r = r == -EPROTOTYPE ? -ENOENT : r;
}

static int ask_heads(struct redis_connection *connection, void *arg)
{
	struct heads *h = arg;
	int64_t asked = clock_ms();
	int r = 0;
	h->round = connection->armed ? connection->round : 0;
	for (size_t i = 0; r == 0 && i < h->count; i++)
		r = put_head(h, &h->heads[i], connection);
	if (r == 0)
		r = connection_send(connection);
	for (size_t i = 0; r == 0 && i < h->count; i++) {
		read_head(h, &h->heads[i], connection, asked);
		r = connection->broken ? h->heads[i].r : 0;
	}
	return r;
}

/* Names the version that a find will name too, as long as nothing changes. */
static void name_version(struct heads *h, const struct head *head, bool fenced, struct stored *ret)
{
	struct redis_backend *b = h->cursor->backend;
	const struct key_hash *key = &head->scanned->key.hash;
	const XXH128_hash_t hash = redis_hash(b, head->bytes, head->length);
	struct record known;
	bool settled = fenced && changes_of(&b->changes, head->announced, NULL) == head->change;
	bool is_known = records_get(&b->records, key, &known);
	bool is_same = is_known && known.size == head->size && XXH128_isEqual(known.head, hash);
	uint64_t change = settled ? head->change : changes_unique(&b->changes);
	bool is_unchanged = is_same && known.change == (settled ? head->change : RECORD_NEVER) && (settled || h->round == 0);
	/*
	 * Where nothing is announced, what a listing has shown of a value is its version until somebody reads another one. One that
	 * was read, and still begins as it did, has got another TTL, most likely; who opens it makes sure.
	 */
	if (is_unchanged || (is_same && known.content_known)) {
		ret->version = known.version;
		ret->written = known.written;
	} else if (head->size <= REDIS_LISTED_HEAD) {
		redis_version_of_content(b, key, hash, &ret->version);
	} else {
		redis_version_of_head(b, key, head->size, hash, change, &ret->version);
		if (h->round == 0)
			records_put(&b->records, key, &(struct record){
				.version = ret->version, .written = ret->written, .change = RECORD_NEVER, .size = head->size, .head = hash});
		else if (is_known)
			records_drop(&b->records, key, clock_ms() + REDIS_HOT_MS);
	}
	if (is_known)
		record_done(&known);
}

static int store_head(struct heads *h, const struct head *head, bool fenced, struct stored *ret)
{
	struct redis_backend *b = h->cursor->backend;
	struct stored stored = {.size = head->size, .expires = head->expiry.expires};
	int r = head->size <= REDIS_LISTED_HEAD ? slice_new_copy(head->bytes, head->length, &stored.value)
						: redis_partial(head->bytes, head->length, head->size, &stored.value);
	if (r < 0)
		return r;
	changes_of(&b->changes, head->announced, &stored.written);
	name_version(h, head, fenced, &stored);
	*ret = stored;
	return 0;
}

static void take_heads(struct heads *h)
{
	bool fenced = h->round != 0 && nodes_fence(&h->cursor->backend->nodes, h->round) == 0;
	for (size_t i = 0; i < h->count; i++) {
		struct head *head = &h->heads[i];
		int r = head->r < 0 ? head->r : store_head(h, head, fenced, &head->scanned->stored);
		/* A single server that says so is none: it is one of a cluster. */
		head->scanned->r = (r == REPLY_MOVED || r == REPLY_ASK) && !h->cursor->backend->nodes.seeds.count ? -EIO : r;
	}
}

static int ask_head_alone(struct redis_connection *connection, void *arg)
{
	struct heads *h = arg;
	int r = ask_heads(connection, h);
	return r < 0 ? r : h->heads[0].r;
}

/* Asks whoever has the key. 0, -ENOMEM. */
static int look_alone(struct heads *h, struct scanned *scanned)
{
	struct redis_backend *b = h->cursor->backend;
	size_t n;
	cleanup_free char *text = redis_name_new(b, &scanned->key, &n);
	if (!text)
		return -ENOMEM;
	const struct bytes name = bytes_of(text, n);
	h->count = 1;
	h->heads[0].scanned = scanned;
	h->heads[0].r = nodes_ask(&b->nodes, &name, ask_head_alone, h, NULL);
	take_heads(h);
	return 0;
}

/* Whether the server that was asked may not be the one to say that. */
static bool is_elsewhere(const struct redis_backend *b, int r)
{
	return b->nodes.seeds.count > 0 &&
		(r == REPLY_MOVED || r == REPLY_ASK || r == -EAGAIN || (r == -ENOENT && b->nodes.from_replicas));
}

/* Those keys, out of n from the next one on, that were not there where they were asked for. */
static int look_elsewhere(struct redis_cursor *c, struct heads *h, struct scanned **asked, size_t n)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		if (is_elsewhere(c->backend, asked[i]->r))
			r = look_alone(h, asked[i]);
	return r;
}

/* What was asked before the reader paused may be another version by now: its attributes go to the kernel as new ones. */
static void forget_old_heads(struct redis_cursor *c)
{
	if (clock_ms() - c->looked_at < FRESH_MS)
		return;
	for (size_t i = c->next; i < c->count; i++)
		if (c->page[i].r == 0) {
			stored_done(&c->page[i].stored);
			c->page[i].r = UNSEEN;
		}
}

/* Looks at keys from the next one on. 0, -errno: none was looked at. */
static int look_ahead(struct redis_cursor *c)
{
	c->looked_at = clock_ms();
	struct scanned *asked[HEADS_MAX];
	size_t n;
	cleanup_free struct heads *h = malloc(sizeof *h);
	if (!h)
		return -ENOMEM;
	h->cursor = c;
	h->count = 0;
	h->round = 0;
	for (size_t i = c->next; i < c->count && h->count < HEADS_MAX; i++)
		if (c->page[i].r == UNSEEN && !seen_has(&c->seen, fingerprint(c, &c->page[i].key)))
			h->heads[h->count++].scanned = &c->page[i];
	for (n = 0; n < h->count; n++)
		asked[n] = h->heads[n].scanned;
	int r = scan_ask(&c->scan, ask_heads, h);
	if (r == -ESTALE)
		for (size_t i = 0; i < n; i++)
			h->heads[i].r = -EAGAIN;
	else if (r < 0)
		return r;
	take_heads(h);
	return look_elsewhere(c, h, asked, n);
}

/* --- the cursor --- */

/* The next key that was not shown yet. 1, 0 at the end, -errno. */
static int next_key(struct redis_cursor *c, struct scanned **ret)
{
	for (;;) {
		while (c->next < c->count) {
			struct scanned *s = &c->page[c->next];
			if (s->r != -ENOENT && !seen_has(&c->seen, fingerprint(c, &s->key))) {
				*ret = s;
				return 1;
			}
			c->next++;
		}
		if (c->ended)
			return 0;
		int r = next_page(c);
		if (r < 0)
			return r;
	}
}

int redis_next(struct cursor *cursor, bool value, struct listed *ret)
{
	struct redis_cursor *c = cursor_of(cursor);
	struct scanned *s = NULL;
	int r;
	while ((r = next_key(c, &s)) == 1) {
		if (value)
			forget_old_heads(c);
		if (value && s->r == UNSEEN) {
			r = look_ahead(c);
			if (r < 0)
				return r;
			continue;
		}
		/* What may not be read does not end the listing. Anything else must not shorten it silently. */
		if (value && s->r == -EACCES) {
			c->next++;
			continue;
		}
		if (value && s->r < 0) {
			r = s->r;
			s->r = UNSEEN;
			return r;
		}
		r = seen_add(&c->seen, fingerprint(c, &s->key));
		if (r < 0)
			return r;
		ret->key = s->key;
		ret->stored = value ? s->stored : (struct stored){0};
		if (!value && s->r == 0)
			stored_done(&s->stored);
		s->key = (struct key){0};
		s->r = -ENOENT;
		c->next++;
		return 1;
	}
	return r;
}

/* The prefix as a pattern that nothing else matches, and what may follow. */
static char *pattern_of(const struct backend *b)
{
	char *pattern = malloc(b->prefix_length * 2 + 2), *to = pattern;
	if (!pattern)
		return NULL;
	for (size_t i = 0; i < b->prefix_length; i++) {
		if (strchr("\\*?[]^-", b->prefix[i]))
			*to++ = '\\';
		*to++ = b->prefix[i];
	}
	*to++ = '*';
	*to = '\0';
	return pattern;
}

int redis_list(struct backend *backend, struct cursor **ret)
{
	struct redis_cursor *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->cursor.ops = backend->ops;
	c->backend = redis_of(backend);
	randombytes_buf(&c->seed, sizeof c->seed);
	c->pattern = backend->prefix_length ? pattern_of(backend) : NULL;
	if (backend->prefix_length && !c->pattern) {
		free(c);
		return -ENOMEM;
	}
	scan_init(&c->scan, &c->backend->nodes);
	*ret = &c->cursor;
	return 0;
}

uint64_t redis_position(const struct cursor *cursor)
{
	return ((const struct redis_cursor *)cursor)->seen.count;
}

/* What comes after a position are all names but those before it: they are scanned again. */
int redis_seek(struct cursor *cursor, uint64_t position)
{
	struct redis_cursor *c = cursor_of(cursor);
	seen_truncate(&c->seen, position);
	drop_page(c);
	c->ended = false;
	scan_done(&c->scan);
	scan_init(&c->scan, &c->backend->nodes);
	return 0;
}

void redis_list_end(struct cursor *cursor)
{
	struct redis_cursor *c = cursor_of(cursor);
	drop_page(c);
	scan_done(&c->scan);
	free(c->page);
	free(c->pattern);
	seen_done(&c->seen);
	free(c);
}

int redis_resolve(struct backend *backend, const struct key_hash *hash, struct key *ret)
{
	struct cursor *cursor;
	struct listed listed;
	bool found = false;
	int r = redis_list(backend, &cursor);
	if (r < 0)
		return r;
	while (!found && (r = redis_next(cursor, false, &listed)) == 1) {
		found = key_hash_equal(&listed.key.hash, hash);
		if (found)
			*ret = listed.key;
		else
			key_done(&listed.key);
	}
	redis_list_end(cursor);
	return found ? 0 : r < 0 ? r : -ENOENT;
}
