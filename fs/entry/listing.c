/* Listings of a cache. */
#include "entry_private.h"

#include "ckfs/event.h"

#include <errno.h>

struct entries_cursor {
	struct entries *entries;
	struct cursor *theirs;  /* the backend's; NULL: it lists known keys */
	bool begun;             /* the backend has told of a key, or that there is none */
	struct key_hash *known; /* of the keys that are known; owned */
	size_t count, next;
};

/* Lists what is known from here on. 0, -ENOMEM. */
static int turn_to_known(struct entries_cursor *c)
{
	int r = known_keys_hashes(c->entries->known, &c->known, &c->count);
	if (r < 0)
		return r;
	cursor_end(steal(c->theirs));
	c->entries->lists_known = true;
	return 0;
}

int entries_list(struct entries *entries, struct entries_cursor **ret)
{
	struct entries_cursor *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->entries = entries;
	int r = backend_list(entries->backend, &c->theirs);
	if (r == -EOPNOTSUPP)
		r = turn_to_known(c);
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void entries_list_end(struct entries_cursor *cursor)
{
	if (!cursor)
		return;
	cursor_end(cursor->theirs);
	free(cursor->known);
	free(cursor);
}

bool entries_list_is_of_known(const struct entries_cursor *cursor)
{
	return !cursor->theirs;
}

/* What may be wrong with one entry does not end a listing of others. */
static bool is_of_one(int r)
{
	return r == -EACCES || r == -EFBIG;
}

/* One that is known, if it is there. 1; 0 it is not; -errno. */
static int look_at_known(struct entries_cursor *c, const struct key_hash *hash, bool value, const atomic_bool *cancel, struct listed *ret)
{
	struct listed listed = {.unread = false};
	int r = known_keys_find(c->entries->known, hash, &listed.key);
	if (r < 0)
		return r;
	if (!listed.key.text)
		return 0;
	if (value)
		r = entries_find_stored(c->entries, &listed.key, false, cancel, &listed.stored);
	listed.unread = is_of_one(r);
	if (r < 0 && !listed.unread) {
		key_done(&listed.key);
		return r == -ENOENT ? 0 : r;
	}
	*ret = listed;
	return 1;
}

static int next_known(struct entries_cursor *c, bool value, const atomic_bool *cancel, struct listed *ret)
{
	while (c->next < c->count) {
		int r = was_cancelled(cancel) ? -EINTR : look_at_known(c, &c->known[c->next], value, cancel, ret);
		if (r < 0)
			return r;
		c->next++;
		if (r == 1)
			return 1;
	}
	return 0;
}

int entries_next(struct entries_cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret)
{
	struct entries_cursor *c = cursor;
	int r = c->theirs ? cursor_next(c->theirs, value, cancel, ret) : 0;
	/* A store that refuses to be listed does so at once. Without a key that is known, it is an error and no empty cache. */
	if (r == -EOPNOTSUPP && !c->begun) {
		r = turn_to_known(c);
		if (r == 0 && c->count == 0)
			return -EOPNOTSUPP;
	}
	c->begun |= r >= 0;
	return r < 0 || c->theirs ? r : next_known(c, value, cancel, ret);
}

int entries_listed_key(struct entries *entries, const struct listed *listed, struct key *ret)
{
	if (listed->key.text) {
		/* What is told once need not be read again. */
		if (!entries->backend->ops->stores_keys)
			known_keys_add(entries->known, &listed->key);
		return key_copy(&listed->key, ret);
	}
	int r = known_keys_find(entries->known, &listed->key.hash, ret);
	if (r == 0 && !ret->text && listed->named && backend_resolve(entries->backend, &listed->key.hash, NULL, ret) == 0)
		known_keys_add(entries->known, ret);
	return r;
}

void listed_done(struct listed *listed)
{
	key_done(&listed->key);
	stored_done(&listed->stored);
}
