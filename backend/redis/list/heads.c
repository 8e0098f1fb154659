/*
 * Sizes and first bytes of what a listing shows, for many keys at a time, from the server that has given them. A key that has
 * left it since is looked for on its own.
 */
#include "redis_listing.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* For so long, in milliseconds, what was asked of a key is as good as new. */
#define FRESH_MS 100

/* At a time. */
#define HEADS_MAX 200

/* Keys of a page that are looked at together. */
struct heads {
	struct redis_cursor *cursor;
	size_t from, to; /* where in the page they are */
	size_t count;
	uint64_t round;
	struct work work;
	bool returned; /* protected by the cursor's lock: another thread has done with it */
	int r;         /* what came of that */
	struct head {
		struct scanned *scanned;
		uint64_t announced, change, size;
		size_t length;
		uint8_t bytes[REDIS_LISTED_HEAD + 1];
		uint8_t last[REDIS_LISTED_HEAD]; /* of a larger one, where nothing is announced */
		struct expiry expiry;
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
	cleanup_free char *text = redis_name_new(b, &head->scanned->key, &n);
	if (!text)
		return -ENOMEM;
	const struct bytes name = bytes_of(text, n);
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
	int64_t size = 0;
	size_t ignored;
	int r = connection_integer(connection, &size), second = 0;
	if (!connection->broken)
		second = connection_part(connection, head->bytes, sizeof head->bytes, &head->length);
	r = r < 0 ? r : second;
	if (!connection->broken && h->round == 0) {
		memset(head->last, 0, sizeof head->last);
		second = connection_part(connection, head->last, sizeof head->last, &ignored);
		r = r < 0 ? r : second;
	}
	if (!connection->broken) {
		second = redis_read_expiry(h->cursor->backend, connection, 1, asked, &head->expiry);
		r = r < 0 ? r : second;
	}
	/* GETRANGE is one command: what it does not fill is all there is. */
	bool whole = head->length <= REDIS_LISTED_HEAD;
	head->size = whole ? head->length : (uint64_t)size;
	if (!whole)
		head->length = REDIS_LISTED_HEAD;
	head->r = r == -EPROTOTYPE ? -ENOENT : r;
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
		r = connection->broken ? h->heads[i].r : 0;
	}
	return r;
}

/* Names the version that a find will name too, as long as nothing changes. */
static void name_version(struct heads *h, const struct head *head, bool fenced, struct stored *ret)
{
	struct redis_backend *b = h->cursor->backend;
	const struct key_hash *key = &head->scanned->key.hash;
	struct record known;
	bool whole = head->size <= REDIS_LISTED_HEAD;
	const XXH128_hash_t hash = h->round == 0 && !whole ? redis_hash_ends(b, head->bytes, head->last) : redis_hash(b, head->bytes, head->length);
	bool settled = fenced && changes_of(&b->changes, head->announced, NULL) == head->change;
	bool is_known = records_get(&b->records, key, &known);
	bool is_same = is_known && known.size == head->size && XXH128_isEqual(known.head, hash);
	/* Where nothing is announced, what a listing has shown of a value is its version until somebody reads another one. */
	bool is_listed = is_same && h->round == 0 && known.change == RECORD_NEVER;
	if (is_listed || (is_same && (whole || (settled && known.change == head->change)))) {
		ret->version = known.version;
		ret->written = known.written;
	} else if (whole) {
		redis_version_of_content(b, key, hash, &ret->version);
	} else if (h->round == 0) {
		redis_version_of_head(b, key, head->size, hash, changes_unique(&b->changes), &ret->version);
		redis_note_listed(b, key);
		records_put(&b->records, key, &(struct record){
			.version = ret->version, .written = ret->written, .change = RECORD_NEVER, .size = head->size, .head = hash});
	} else if (!settled || (is_same && known.content_known)) {
		/* It begins so. Whether it is the one that is known, maybe with another TTL, only all of it would tell. */
		redis_version_of_head(b, key, head->size, hash, changes_unique(&b->changes), &ret->version);
		ret->nameless = true;
	} else {
		redis_version_of_head(b, key, head->size, hash, head->change, &ret->version);
		redis_note_listed(b, key);
		if (is_known)
			records_drop(&b->records, key);
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
		head->scanned->looked_at = clock_ms();
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
	for (size_t i = 0; i < n; i++) {
		if (!is_elsewhere(c->backend, asked[i]->r))
			continue;
		if (r == 0)
			r = look_alone(h, asked[i]);
		/* That it is elsewhere is no answer. */
		if (r < 0)
			asked[i]->r = UNSEEN;
	}
	return r;
}

/* Whether a key is to be asked for. What was asked before the reader paused may be another version by now: it would go to the kernel as new. */
static bool is_wanted(struct scanned *scanned)
{
	if (scanned->r == 0 && clock_ms() - scanned->looked_at >= FRESH_MS) {
		stored_done(&scanned->stored);
		scanned->r = UNSEEN;
	}
	return scanned->r == UNSEEN;
}

/* Chooses keys of the page, from one on, that are no other thread's. NULL: no memory. */
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
	h->returned = false;
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

/* Asks for what was chosen. 0, -errno: of none is anything known. */
static int look(struct heads *h)
{
	struct redis_cursor *c = h->cursor;
	struct scanned *asked[HEADS_MAX];
	size_t n;
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

static void run_ahead(struct work *work)
{
	struct heads *h = container_of(work, struct heads, work);
	struct redis_cursor *c = h->cursor;
	/* What fails stays unseen, and is asked for again when it is due. */
	h->r = look(h);
	pthread_mutex_lock(&c->lock);
	h->returned = true;
	pthread_cond_signal(&c->returned);
	pthread_mutex_unlock(&c->lock);
}

/* Waits for a batch that another thread has begun. 0; -errno: it has failed meanwhile. */
static int wait_for(struct redis_cursor *c, const struct heads *h)
{
	pthread_mutex_lock(&c->lock);
	bool waits = !h->returned;
	while (!h->returned)
		pthread_cond_wait(&c->returned, &c->lock);
	pthread_mutex_unlock(&c->lock);
	return waits ? h->r : 0;
}

int redis_heads_wait(struct redis_cursor *c, size_t index)
{
	struct heads *h = c->ahead;
	int r = 0;
	if (!h || index < h->from)
		return 0;
	/* Those who look ahead may all be waiting for other listings. What they have not begun is asked for here, when it is due. */
	if (work_withdraw(c->backend->ahead, &h->work))
		c->looked_to = h->from;
	else
		r = wait_for(c, h);
	free(h);
	c->ahead = NULL;
	return r;
}

/* Has another thread ask for the next keys, while these are shown. */
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
	h->work.run = run_ahead;
	work_submit(c->backend->ahead, &h->work);
}

int redis_heads_look(struct redis_cursor *c)
{
	if (is_wanted(&c->page[c->next])) {
		cleanup_free struct heads *h = heads_new(c, c->next);
		int r = h ? look(h) : -ENOMEM;
		if (r < 0)
			return r;
	}
	begin_ahead(c);
	return 0;
}
