/*
 * Listings: SCAN, page by page (list/scan.c). It may give a key more than once, so keys are remembered by a fingerprint. Where sizes and
 * heads are wanted they are read for many keys at a time (list/heads.c).
 */
#include "cursor.h"
#include "heads.h"
#include "listing.h"

#include "backend/remote/key_prefix.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Keys that one SCAN looks at. */
#define PAGE_COUNT "1000"

static struct redis_cursor *cursor_of(struct cursor *cursor)
{
	return (struct redis_cursor *)cursor;
}

static void drop_keys(struct redis_cursor *c)
{
	redis_heads_drop(c);
	for (size_t i = 0; i < c->count; i++) {
		key_done(&c->page[i].key);
		if (c->page[i].r == 0)
			stored_done(&c->page[i].stored);
	}
	c->count = c->next = c->looked_to = 0;
}

static void drop_page(struct redis_cursor *c)
{
	drop_keys(c);
	names_drop(&c->names);
}

/* --- a page of keys --- */

static int add_key(struct redis_cursor *c, const char *name, size_t n)
{
	struct scanned *s = &c->page[c->count];
	*s = (struct scanned){.r = UNSEEN};
	int r = key_prefix_cut(&c->backend->backend, name, n, &s->key);
	c->count += r == 1;
	return r < 0 ? r : 0;
}

/* [cursor, [key…]] */
static int read_page(struct redis_cursor *c, struct redis_connection *connection, char next[24])
{
	cleanup_free char *at = NULL;
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
	return r < 0 ? r : names_read(&c->names, connection);
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
	c->asked_type = !atomic_load(&c->backend->lacks_scan_type);
	if (c->asked_type) {
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
		cleanup_free char *name = key_prefix_put(&c->backend->backend, &c->page[i].key, &n);
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

/* Adds keys until there are enough. One for which there is no memory comes first the next time. */
static int add_keys(struct redis_cursor *c)
{
	const uint64_t begin = c->names.at;
	uint64_t before = begin;
	const char *name;
	size_t n;
	int r = 0;
	while (r == 0 && c->count < PAGE_KEYS && c->names.at - begin < PAGE_KEYS_BYTES && names_next(&c->names, &name, &n)) {
		r = add_key(c, name, n);
		before = r == 0 ? c->names.at : before;
	}
	c->names.at = before;
	return c->count > 0 ? 0 : r;
}

/* Makes keys of the next names of the page. After a failure the same names come again. */
static int take_keys(struct redis_cursor *c, const atomic_bool *cancel)
{
	uint64_t before = c->names.at;
	drop_keys(c);
	if (!c->page && !(c->page = calloc(PAGE_KEYS, sizeof *c->page)))
		return -ENOMEM;
	int r = add_keys(c);
	if (r == 0 && c->count > 0 && atomic_load(&c->backend->lacks_scan_type))
		r = scan_ask(&c->scan, ask_types, c, cancel);
	if (r < 0) {
		/* They may be of whatever type. */
		drop_keys(c);
		c->names.at = before;
	}
	if (r == -ESTALE) {
		names_drop(&c->names);
		scan_again(&c->scan);
		return 0;
	}
	return r == -ENOSYS || r == -EPROTOTYPE ? -EIO : r;
}

static int next_page(struct redis_cursor *c, const atomic_bool *cancel)
{
	drop_page(c);
	int r = scan_go_on(&c->scan, cancel);
	c->ended = r == 0;
	if (r <= 0)
		return r;
	r = scan_ask_page(&c->scan, ask_page, c, cancel);
	/* Others may have learnt it since this one has asked. */
	if (r == -ENOSYS && c->asked_type) {
		atomic_store(&c->backend->lacks_scan_type, true);
		r = scan_ask_page(&c->scan, ask_page, c, cancel);
	}
	if (r == 0 && !scan_moved(&c->scan, c->at))
		drop_page(c);
	/* Half a page is asked for again. */
	if (r < 0)
		drop_page(c);
	if (r == -ESTALE) {
		scan_again(&c->scan);
		return 0;
	}
	return r == -ENOSYS || r == -EPROTOTYPE ? -EIO : r;
}

/* --- the cursor --- */

/* The next key that was not shown yet. 1, 0 at the end, -errno. */
static int next_key(struct redis_cursor *c, const atomic_bool *cancel, struct scanned **ret)
{
	for (;;) {
		while (c->next < c->count) {
			int r = redis_heads_wait(c, c->next, cancel);
			struct scanned *s = &c->page[c->next];
			if (r == -EINTR)
				return r;
			/* Looking ahead has failed: so does who wants this key's head. */
			if (r < 0 && s->r == UNSEEN) {
				s->r = r;
				s->refused = false;
			}
			if (s->r != -ENOENT && !seen_has(&c->seen, redis_fingerprint(c, &s->key))) {
				*ret = s;
				return 1;
			}
			c->next++;
		}
		bool taken = names_are_taken(&c->names);
		if (taken && c->ended)
			return 0;
		int r = taken ? next_page(c, cancel) : take_keys(c, cancel);
		if (r < 0)
			return r;
	}
}

/* Hands a key over, and its value if that is wanted: the page owns them no longer. */
static void hand_over(struct scanned *s, bool value, struct listed *ret)
{
	*ret = (struct listed){.key = s->key, .unread = value && s->r < 0};
	if (s->r == 0 && value)
		ret->stored = s->stored;
	else if (s->r == 0)
		stored_done(&s->stored);
	s->key = (struct key){0};
	s->r = -ENOENT;
}

int redis_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret)
{
	struct redis_cursor *c = cursor_of(cursor);
	struct scanned *s = NULL;
	int r;
	while ((r = next_key(c, cancel, &s)) == 1) {
		if (value && s->r >= 0) {
			r = redis_heads_look(c, cancel);
			if (r < 0)
				return r;
			if (s->r == -ENOENT)
				continue;
		}
		/* What the server does not let be read is shown all the same. Any other error ends the listing. */
		if (value && s->r < 0 && !s->refused) {
			r = s->r;
			s->r = UNSEEN;
			return r;
		}
		r = seen_add(&c->seen, redis_fingerprint(c, &s->key));
		if (r < 0)
			return r;
		hand_over(s, value, ret);
		c->next++;
		return 1;
	}
	return r;
}

int redis_list(struct backend *backend, struct cursor **ret)
{
	cleanup_free struct redis_cursor *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->cursor.ops = backend->ops;
	c->backend = redis_of(backend);
	randombytes_buf(&c->seed, sizeof c->seed);
	c->pattern = backend->prefix_length ? key_prefix_glob(backend) : NULL;
	if (backend->prefix_length && !c->pattern)
		return -ENOMEM;
	scan_init(&c->scan, &c->backend->nodes);
	c->names.spool = backend->spool;
	*ret = &steal(c)->cursor;
	return 0;
}

void redis_list_end(struct cursor *cursor)
{
	struct redis_cursor *c = cursor_of(cursor);
	drop_page(c);
	names_done(&c->names);
	scan_done(&c->scan);
	free(c->page);
	free(c->pattern);
	seen_done(&c->seen);
	free(c);
}
