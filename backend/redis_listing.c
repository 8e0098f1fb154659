/*
 * Listings: SCAN, page by page (redis_scan.c). It may give a key more than once, so keys are remembered by a fingerprint. Where sizes and
 * heads are wanted they are read for many keys at a time (redis_heads.c).
 */
#include "redis_listing.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Keys that one SCAN looks at. */
#define PAGE_COUNT "1000"

#define NAME_BYTES_LIMIT (INT64_C(512) << 20)

static struct redis_cursor *cursor_of(struct cursor *cursor)
{
	return (struct redis_cursor *)cursor;
}

static void drop_page(struct redis_cursor *c)
{
	(void)redis_heads_wait(c, SIZE_MAX);
	for (size_t i = 0; i < c->count; i++) {
		key_done(&c->page[i].key);
		if (c->page[i].r == 0)
			stored_done(&c->page[i].stored);
	}
	c->count = c->next = c->looked_to = 0;
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
	r = scan_ask_page(&c->scan, ask_page, c);
	if (r == -ENOSYS && !atomic_exchange(&b->lacks_scan_type, true))
		r = scan_ask_page(&c->scan, ask_page, c);
	if (r == 0 && atomic_load(&b->lacks_scan_type))
		r = scan_ask(&c->scan, ask_types, c);
	if (r == 0 && !scan_moved(&c->scan, c->at))
		drop_page(c);
	/* Half a page, or one with keys of whatever type: it is asked for again. */
	if (r < 0)
		drop_page(c);
	if (r == -ESTALE) {
		scan_again(&c->scan);
		return 0;
	}
	return r == -ENOSYS || r == -EPROTOTYPE ? -EIO : r;
}

/* --- the cursor --- */

uint64_t redis_fingerprint(const struct redis_cursor *c, const struct key *key)
{
	return XXH3_64bits_withSeed(key->text, key->length, c->seed);
}

/* The next key that was not shown yet. 1, 0 at the end, -errno. */
static int next_key(struct redis_cursor *c, struct scanned **ret)
{
	for (;;) {
		while (c->next < c->count) {
			int r = redis_heads_wait(c, c->next);
			struct scanned *s = &c->page[c->next];
			/* Who wants its head has waited for it. */
			if (r < 0 && s->r == UNSEEN)
				s->r = r;
			if (s->r != -ENOENT && !seen_has(&c->seen, redis_fingerprint(c, &s->key))) {
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
		if (value && s->r >= 0) {
			r = redis_heads_look(c);
			if (r < 0)
				return r;
			if (s->r == -ENOENT)
				continue;
		}
		/* What may not be read is shown all the same, and does not end the listing. Anything else does. */
		const bool unread = value && s->r == -EACCES;
		if (value && s->r < 0 && !unread) {
			r = s->r;
			s->r = UNSEEN;
			return r;
		}
		r = seen_add(&c->seen, redis_fingerprint(c, &s->key));
		if (r < 0)
			return r;
		ret->key = s->key;
		ret->unread = unread;
		ret->stored = value && !unread ? s->stored : (struct stored){0};
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
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->returned, NULL);
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
	pthread_cond_destroy(&c->returned);
	pthread_mutex_destroy(&c->lock);
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
