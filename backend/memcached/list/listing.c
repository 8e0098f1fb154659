/* Listings: keys, one server after the other (list/names.c). Where sizes and values are wanted they are asked for by many keys at a time. */
#include "listing.h"
#include "names.h"

#include "backend/memcached/value/find.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <stdlib.h>

/* Keys that are asked for together, and the bytes of their items. */
#define PAGE_KEYS 200
#define PAGE_BYTES (UINT64_C(1) << 20)

/* Milliseconds for which an answer counts as new: the kernel counts it as made when it is shown. */
#define FRESH_MS 100

/* One key of a page, and what is known of it. */
struct paged {
	struct key key;
	struct mc_name name;
	bool wants_value; /* else only how large it is; whoever looks it up has to read it in any case */
	bool unread; /* nothing can be told of it just now */
	int r;       /* 0: it was found; -ENOENT: it is not there any more */
	struct mc_item_found found;
	struct stored stored;
};

struct mc_cursor {
	struct cursor cursor;
	struct mc_backend *b;
	struct mc_names names;
	bool begun;

	struct paged *page; /* PAGE_KEYS of them; NULL: none was needed yet */
	size_t count, next;
	struct mc_server *asked; /* whose page it is */
	int64_t asked_at;        /* monotonic ms; 0: it was not asked for yet */
};

static struct mc_cursor *cursor_of(struct cursor *cursor)
{
	return (struct mc_cursor *)cursor;
}

/* --- pages --- */

static void drop_found(struct paged *p)
{
	mc_item_done(&p->found);
	stored_done(&p->stored);
	p->unread = false;
	p->r = -ENOENT;
}

static void drop_page(struct mc_cursor *c)
{
	for (; c->next < c->count; c->next++) {
		drop_found(&c->page[c->next]);
		key_done(&c->page[c->next].key);
	}
	c->next = c->count = 0;
}

/* Takes keys of one server until there are enough. */
static int take_page(struct mc_cursor *c, const atomic_bool *cancel)
{
	uint64_t bytes = 0;
	int r = 1;
	drop_page(c);
	if (!c->page && !(c->page = calloc(PAGE_KEYS, sizeof *c->page)))
		return -ENOMEM;
	c->asked_at = 0;
	while (r == 1 && c->count < PAGE_KEYS && bytes < PAGE_BYTES) {
		struct paged *p = &c->page[c->count];
		struct mc_server *ignored;
		struct mc_named named;
		r = mc_names_next(&c->names, false, cancel, &named);
		if (r != 1)
			break;
		*p = (struct paged){.r = -ENOENT, .key = named.key, .wants_value = named.size <= MC_READ_AT_ONCE};
		bytes += p->wants_value ? named.size : 0;
		c->asked = named.server;
		c->count++;
		/* What cannot be asked for is there all the same. */
		p->unread = mc_name_make(c->b, &p->key, &p->name, &ignored) < 0;
	}
	/* Those that were taken come first. */
	return c->count > 0 && r < 0 && r != -EINTR ? 0 : r < 0 ? r : 0;
}

static bool is_asked(const struct paged *p)
{
	return p->name.length > 0;
}

static int ask_page(struct pooled *pooled, void *arg)
{
	struct mc_connection *connection = mc_connection_of(pooled);
	struct mc_cursor *c = arg;
	for (size_t i = c->next; i < c->count; i++) {
		drop_found(&c->page[i]);
		if (is_asked(&c->page[i]))
			mc_item_put(connection, &c->page[i].name, c->page[i].wants_value);
	}
	connection->owes = true;
	int r = stream_send(&connection->stream);
	for (size_t i = c->next; r == 0 && i < c->count; i++) {
		struct paged *p = &c->page[i];
		if (!is_asked(p))
			continue;
		p->r = mc_item_read(connection, c->b, &p->key.hash, NULL, p->wants_value ? c->b->backend.spool : NULL, &p->found);
		if (connection->stream.broken)
			r = p->r;
	}
	connection->owes = r < 0;
	return r;
}

/* Makes what was found of the page known. A key of which the server would tell nothing is there all the same. */
static void settle_page(struct mc_cursor *c, int r)
{
	for (size_t i = c->next; i < c->count; i++) {
		struct paged *p = &c->page[i];
		if (r < 0 || !is_asked(p))
			drop_found(p);
		else if (p->r == 0)
			p->r = mc_stored_of(c->b, &p->key.hash, &p->found, false, &p->stored);
		p->unread = r < 0 || !is_asked(p) || (p->r < 0 && p->r != -ENOENT);
	}
}

/* Asks for what is left of the page, unless that was done just now. 0; -EINTR, -ENOMEM nothing is known of it. */
static int look(struct mc_cursor *c, const atomic_bool *cancel)
{
	if (c->asked_at && clock_ms() - c->asked_at < FRESH_MS)
		return 0;
	int r = mc_server_ask(c->asked, ask_page, c, cancel);
	if (r == -EINTR || r == -ENOMEM)
		return r;
	settle_page(c, r);
	c->asked_at = clock_ms();
	return 0;
}

/* The next key of the page, with its value. 1; 0 there are no more; -EINTR, -ENOMEM. */
static int next_paged(struct mc_cursor *c, bool value, const atomic_bool *cancel, struct listed *ret)
{
	while (c->next < c->count) {
		int r = value ? look(c, cancel) : 0;
		if (r < 0)
			return r;
		struct paged *p = &c->page[c->next++];
		const bool is_there = !value || p->unread || p->r == 0;
		*ret = (struct listed){.key = key_steal(&p->key), .unread = value && p->unread};
		if (value && p->r == 0)
			ret->stored = stored_steal(&p->stored);
		drop_found(p);
		if (is_there)
			return 1;
		key_done(&ret->key);
	}
	return 0;
}

/* --- the cursor --- */

/* Whether one of the servers has told that it lists no keys: without it there is no listing. */
static bool is_refused(const struct mc_cursor *c)
{
	bool refused = false;
	for (size_t i = 0; i < c->b->source.count; i++)
		refused |= dump_is_refused(&c->b->servers[i]);
	return refused;
}

static int next_named(struct mc_cursor *c, const atomic_bool *cancel, struct listed *ret)
{
	struct mc_named named;
	int r = mc_names_next(&c->names, true, cancel, &named);
	if (r == 1)
		*ret = (struct listed){.key = named.key};
	return r;
}

int mc_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret)
{
	struct mc_cursor *c = cursor_of(cursor);
	if (!c->begun && is_refused(c))
		return -EOPNOTSUPP;
	c->begun = true;
	for (;;) {
		int r = next_paged(c, value, cancel, ret);
		if (r != 0)
			return r;
		/* All names were shown that can be had. There may be more. */
		if (mc_names_are_over(&c->names, &r))
			return r;
		r = value ? take_page(c, cancel) : next_named(c, cancel, ret);
		if (r != 0)
			return r;
	}
}

int mc_list(struct backend *backend, struct cursor **ret)
{
	struct mc_cursor *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->cursor.ops = backend->ops;
	c->b = mc_of(backend);
	mc_names_begin(&c->names, c->b);
	*ret = &c->cursor;
	return 0;
}

void mc_list_end(struct cursor *cursor)
{
	struct mc_cursor *c = cursor_of(cursor);
	mc_names_end(&c->names);
	if (c->page)
		drop_page(c);
	free(c->page);
	free(c);
}
