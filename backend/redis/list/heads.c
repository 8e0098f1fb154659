/*
 * Reads sizes and first bytes of what a listing shows: of many keys at a time, from the server that has named them. A key that has
 * moved since is asked for on its own.
 */
#include "heads.h"

#include "backend/redis/value/expiry.h"
#include "backend/redis/value/key.h"
#include "backend/remote/ahead.h"
#include "backend/remote/key_prefix.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Milliseconds for which an answer counts as new. */
#define FRESH_MS 100

/* Keys that are asked for at a time. */
#define HEADS_MAX 200

/* Keys of a page that are looked at together. */
struct heads {
	struct redis_cursor *cursor;
	size_t from, to; /* where in the page they are */
	size_t count;
	uint64_t round;
	struct ahead ahead;
	struct head {
		struct scanned *scanned;
		uint64_t announced, change, size;
		size_t length;
		uint8_t bytes[REDIS_LISTED_HEAD + 1];
		uint8_t last[REDIS_LISTED_HEAD]; /* of a larger one, where nothing is announced */
		bool torn;                       /* size and bytes are not of one version */
		struct expiry expiry;
		bool answered; /* whatever r is: the server has said it */
		int r;
	} heads[HEADS_MAX];
};

static int put_head(struct heads *h, struct head *head, struct redis_connection *connection)
{
	struct redis_backend *b = h->cursor->backend;
	/* One byte more than is wanted: it tells whether there is more. */
	static const char last[] = "512";
	static const char from_end[] = "-512";
	_Static_assert(REDIS_LISTED_HEAD == 512, "the last byte that is asked for, and the first of the last");
	size_t n;
	cleanup_free char *text = key_prefix_put(&b->backend, &head->scanned->key, &n);
	if (!text)
		return -ENOMEM;
	const struct bytes name = bytes_of(text, n);
	head->answered = false;
	head->announced = nodes_hash(&b->nodes, text, n);
	head->change = changes_of(&b->changes, head->announced, NULL);
	connection_put(connection, (const struct bytes[]){bytes_of("STRLEN", 6), name}, 2);
	connection_put(connection, (const struct bytes[]){bytes_of("GETRANGE", 8), name, bytes_of("0", 1), bytes_of(last, sizeof last - 1)}, 4);
	if (h->round == 0)
		connection_put(connection, (const struct bytes[]){bytes_of("GETRANGE", 8), name, bytes_of(from_end, sizeof from_end - 1), bytes_of("-1", 2)}, 4);
	connection_put(connection, (const struct bytes[]){bytes_of("PTTL", 4), name}, 2);
	return 0;
}

static void read_head(struct heads *h, struct head *head, struct redis_connection *connection, int64_t asked)
{
	uint64_t size = 0;
	size_t ignored;
	int r = connection_length(connection, &size), second = 0;
	if (!connection->stream.broken)
		second = connection_part(connection, head->bytes, sizeof head->bytes, &head->length);
	r = r < 0 ? r : second;
	if (!connection->stream.broken && h->round == 0) {
		memset(head->last, 0, sizeof head->last);
		second = connection_part(connection, head->last, sizeof head->last, &ignored);
		r = r < 0 ? r : second;
	}
	if (!connection->stream.broken) {
		second = redis_read_expiry(connection, 1, asked, &head->expiry);
		r = r < 0 ? r : second;
	}
	/* GETRANGE is one command: what it does not fill is all there is. */
	bool whole = head->length <= REDIS_LISTED_HEAD;
	head->torn = !whole && size < head->length;
	head->size = whole || head->torn ? head->length : size;
	if (!whole)
		head->length = REDIS_LISTED_HEAD;
	head->r = r == -EPROTOTYPE ? -ENOENT : r;
	head->answered = !connection->stream.broken;
}

static int ask_heads(struct redis_connection *connection, void *arg)
{
	struct heads *h = arg;
	int64_t asked = clock_ms();
	int r = 0;
	h->round = connection_announced(connection);
	for (size_t i = 0; r == 0 && i < h->count; i++)
		r = put_head(h, &h->heads[i], connection);
	if (r == 0)
		r = connection_send(connection);
	for (size_t i = 0; r == 0 && i < h->count; i++) {
		read_head(h, &h->heads[i], connection, asked);
		r = connection->stream.broken ? h->heads[i].r : 0;
	}
	return r;
}

static struct sighting seen_by(const struct heads *h, const struct head *head, bool fenced)
{
	struct redis_backend *b = h->cursor->backend;
	const XXH128_hash_t hash = version_head(b->seed, head->size, head->bytes, h->round == 0 ? head->last : NULL);
	struct sighting seen = {
		.seed = b->seed,
		.key = &head->scanned->key.hash,
		.by_listing = true,
		.size = head->size,
		.torn = head->torn,
		.head = hash,
		.whole = head->size <= REDIS_LISTED_HEAD,
		.content = hash,
		.announced = h->round != 0,
		.change = head->change,
	};
	version_settle(&seen, fenced, changes_of(&b->changes, head->announced, &seen.written));
	return seen;
}

/* Names the version, as a lookup will name it while nothing changes. */
static void name_listed(struct redis_backend *b, const struct sighting *seen, struct stored *ret)
{
	cleanup_with(record_done) struct record record = {0};
	struct record listed = {0};
	bool is_known = records_get(&b->records, seen->key, &record);
	const struct known_version *known = is_known ? &record.known : NULL;
	enum version_rule rule = version_choose(seen, known);
	version_name(seen, rule, known, version_needs_number(rule) ? changes_unique(&b->changes) : 0, &listed.known);
	ret->version = listed.known.version;
	ret->written = listed.known.written;
	ret->nameless = rule == VERSION_NAMELESS;
	if (rule == VERSION_BY_NUMBER || rule == VERSION_BY_CHANGE)
		redis_note_listed(b, seen->key);
	if (rule == VERSION_BY_NUMBER)
		records_put(&b->records, seen->key, &listed);
	/* What is known is of another version. */
	if (rule == VERSION_BY_CHANGE && is_known)
		records_drop(&b->records, seen->key);
}

static int store_head(struct heads *h, const struct head *head, bool fenced, struct stored *ret)
{
	struct stored stored = {.size = head->size, .expires = head->expiry.expires};
	int r = head->size <= REDIS_LISTED_HEAD ? slice_new_copy(head->bytes, head->length, &stored.value)
						: slice_new_partial(head->bytes, head->length, head->size, &stored.value);
	if (r < 0)
		return r;
	const struct sighting seen = seen_by(h, head, fenced);
	name_listed(h->cursor->backend, &seen, &stored);
	*ret = stored;
	return 0;
}

/* Whether a server says that of this key alone: not that it is busy, or not the one to be asked. */
static bool is_refusal(int r)
{
	return r < 0 && r != -EAGAIN && r != REPLY_MOVED && r != REPLY_ASK;
}

static void take_heads(struct heads *h)
{
	bool fenced = h->round != 0 && nodes_fence(&h->cursor->backend->nodes, h->round) == 0;
	for (size_t i = 0; i < h->count; i++) {
		struct head *head = &h->heads[i];
		int r = head->r < 0 ? head->r : store_head(h, head, fenced, &head->scanned->stored);
		/* A single server does not move keys: this one belongs to a cluster. */
		head->scanned->looked_at = clock_ms();
		head->scanned->refused = head->answered && is_refusal(head->r);
		head->scanned->r = (r == REPLY_MOVED || r == REPLY_ASK) && !h->cursor->backend->nodes.seeds.count ? -EIO : r;
	}
}

static int ask_head_alone(struct redis_connection *connection, void *arg)
{
	struct heads *h = arg;
	int r = ask_heads(connection, h);
	return r < 0 ? r : h->heads[0].r;
}

/* Asks the server that has the key. 0, -ENOMEM. */
static int look_alone(struct heads *h, struct scanned *scanned, const atomic_bool *cancel)
{
	struct redis_backend *b = h->cursor->backend;
	size_t n;
	cleanup_free char *text = key_prefix_put(&b->backend, &scanned->key, &n);
	if (!text)
		return -ENOMEM;
	const struct bytes name = bytes_of(text, n);
	h->count = 1;
	struct head *head = &h->heads[0];
	head->scanned = scanned;
	head->answered = false;
	int r = nodes_ask(&b->nodes, &name, ask_head_alone, h, cancel);
	/* There may have been trouble after an answer that did not count. */
	head->answered = head->answered && r == head->r;
	head->r = r;
	take_heads(h);
	return 0;
}

/* Whether another server may have the key. */
static bool is_elsewhere(const struct redis_backend *b, int r)
{
	return b->nodes.seeds.count > 0 &&
		(r == REPLY_MOVED || r == REPLY_ASK || r == -EAGAIN || (r == -ENOENT && b->nodes.from_replicas));
}

/* Asks once more for those of n keys that the server did not have. */
static int look_elsewhere(struct redis_cursor *c, struct heads *h, struct scanned **asked, size_t n, const atomic_bool *cancel)
{
	int r = 0;
	for (size_t i = 0; i < n; i++) {
		if (!is_elsewhere(c->backend, asked[i]->r))
			continue;
		if (r == 0)
			r = look_alone(h, asked[i], cancel);
		/* "Elsewhere" is no answer. */
		if (r < 0)
			asked[i]->r = UNSEEN;
	}
	return r;
}

/* Whether a key has to be asked for. An answer from before the reader paused is too old: the kernel would count it as new. */
static bool is_wanted(struct scanned *scanned)
{
	if (scanned->r == 0 && clock_ms() - scanned->looked_at >= FRESH_MS) {
		stored_done(&scanned->stored);
		scanned->r = UNSEEN;
	}
	return scanned->r == UNSEEN;
}

/* Chooses keys of the page, beginning at `from`, that no other thread asks for. NULL: no memory. */
static struct heads *heads_new(struct redis_cursor *c, size_t from)
{
	const size_t end = c->ahead ? c->ahead->from : c->count;
	struct heads *h = malloc(sizeof *h);
	if (!h)
		return NULL;
	h->cursor = c;
	h->from = h->to = from;
	h->count = 0;
	h->round = 0;
	for (; h->to < end && h->count < HEADS_MAX; h->to++) {
		struct scanned *s = &c->page[h->to];
		if (!is_wanted(s) || seen_has(&c->seen, redis_fingerprint(c, &s->key)))
			continue;
		h->heads[h->count++].scanned = s;
	}
	if (c->looked_to < h->to)
		c->looked_to = h->to;
	return h;
}

/* Asks for what was chosen. 0; -errno: nothing is known of any of them. */
static int look(struct heads *h, const atomic_bool *cancel)
{
	struct redis_cursor *c = h->cursor;
	struct scanned *asked[HEADS_MAX];
	size_t n;
	for (n = 0; n < h->count; n++)
		asked[n] = h->heads[n].scanned;
	int r = scan_ask(&c->scan, ask_heads, h, cancel);
	if (r == -ESTALE)
		for (size_t i = 0; i < n; i++) {
			h->heads[i].r = -EAGAIN;
			h->heads[i].answered = false;
		}
	else if (r < 0)
		return r;
	take_heads(h);
	return look_elsewhere(c, h, asked, n, cancel);
}

/* A key that fails stays unseen, and is asked for again when its turn comes. */
static int look_ahead(struct ahead *ahead, const atomic_bool *cancel)
{
	return look(container_of(ahead, struct heads, ahead), cancel);
}

static void end_ahead(struct redis_cursor *c)
{
	free(c->ahead);
	c->ahead = NULL;
}

int redis_heads_wait(struct redis_cursor *c, size_t index, const atomic_bool *cancel)
{
	struct heads *h = c->ahead;
	int outcome = 0;
	if (!h || index < h->from)
		return 0;
	int r = ahead_wait(&h->ahead, cancel, &outcome);
	if (r < 0)
		return r;
	/* All threads that look ahead may be busy with other listings: what they have not begun is asked for by this thread. */
	if (r == 1)
		c->looked_to = h->from;
	end_ahead(c);
	return outcome;
}

void redis_heads_drop(struct redis_cursor *c)
{
	if (!c->ahead)
		return;
	ahead_drop(&c->ahead->ahead);
	end_ahead(c);
}

/* Lets another thread ask for the next keys while these are shown. */
static void begin_ahead(struct redis_cursor *c)
{
	size_t from = c->looked_to > c->next ? c->looked_to : c->next;
	if (c->ahead || from >= c->count || from - c->next > HEADS_MAX)
		return;
	struct heads *h = heads_new(c, from);
	if (!h || h->count == 0) {
		free(h);
		return;
	}
	c->ahead = h;
	ahead_begin(&h->ahead, c->backend->ahead, look_ahead);
}

int redis_heads_look(struct redis_cursor *c, const atomic_bool *cancel)
{
	if (is_wanted(&c->page[c->next])) {
		cleanup_free struct heads *h = heads_new(c, c->next);
		int r = h ? look(h, cancel) : -ENOMEM;
		if (r < 0)
			return r;
	}
	begin_ahead(c);
	return 0;
}
