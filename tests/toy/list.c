/* Listings of a toy store: all keys at once. */
#include "connection.h"

#include "backend/remote/key_prefix.h"

#include "ckfs/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct toy_cursor {
	struct cursor cursor;
	struct toy *toy;
	bool asked;
	struct key *keys;
	size_t count, next;
};

static void drop_keys(struct toy_cursor *c)
{
	for (size_t i = c->next; i < c->count; i++)
		key_done(&c->keys[i]);
	free(c->keys);
	c->keys = NULL;
	c->count = c->next = 0;
}

static int add_key(struct toy_cursor *c, const char *name)
{
	struct key *grown = realloc(c->keys, (c->count + 1) * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	c->keys = grown;
	int r = key_prefix_cut(&c->toy->backend, name, strlen(name), &c->keys[c->count]);
	c->count += r == 1;
	return r < 0 ? r : 0;
}

static int ask_keys(struct pooled *pooled, void *arg)
{
	struct connection *c = (struct connection *)pooled;
	char line[LINE_MAX_BYTES];
	unsigned long long n = 0;
	drop_keys(arg);
	buf_puts(&c->stream.out, "KEYS\n");
	c->owes = true;
	int r = stream_send(&c->stream);
	if (r == 0)
		r = toy_read_number(&c->stream, "COUNT %llu", &n);
	for (; r == 0 && n > 0; n--) {
		r = toy_read_line(&c->stream, line);
		if (r == 0)
			r = add_key(arg, line);
	}
	c->owes = r < 0;
	return r;
}

int toy_list(struct backend *backend, struct cursor **ret)
{
	struct toy_cursor *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->cursor.ops = backend->ops;
	c->toy = (struct toy *)backend;
	*ret = &c->cursor;
	return 0;
}

int toy_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret)
{
	struct toy_cursor *c = (struct toy_cursor *)cursor;
	struct listed listed = {.unread = false};
	int r = c->asked ? 0 : pool_ask(&c->toy->pool, NULL, ask_keys, c, cancel);
	c->asked = r == 0;
	while (r == 0 && c->next < c->count) {
		int found = value ? toy_find(&c->toy->backend, &c->keys[c->next], true, c->toy->backend.spool, cancel, &listed.stored) : 0;
		if (found < 0 && found != -ENOENT)
			return found;
		listed.key = c->keys[c->next++];
		if (found == 0) {
			*ret = listed;
			return 1;
		}
		key_done(&listed.key);
	}
	return r == -ECONNRESET ? -EIO : r == -ENOENT ? -EOPNOTSUPP : r;
}

void toy_list_end(struct cursor *cursor)
{
	drop_keys((struct toy_cursor *)cursor);
	free(cursor);
}
