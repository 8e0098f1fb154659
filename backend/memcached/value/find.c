/*
 * Finds values: each look asks the server. What is known by its version is not read again; what is not, and is small, is read at once, and large values
 * are fetched when they are wanted.
 */
#include "find.h"

#include "backend/remote/receive.h"

#include "ckfs/cleanup.h"

#include <errno.h>

struct look {
	struct mc_backend *b;
	const struct key *key;
	struct mc_name name;
	struct mc_server *server;
	struct spool *spool;
	bool all;                     /* the value is wanted at once */
	bool small;                   /* … if it is small, or nothing else tells its version */
	const struct version *expect; /* the only version of which the value is wanted; NULL: any */
	struct mc_item_found found;   /* owned */
};

static void look_done(struct look *look)
{
	mc_item_done(&look->found);
}

static int look_begin(struct mc_backend *b, const struct key *key, struct spool *spool, struct look *ret)
{
	*ret = (struct look){.b = b, .key = key, .spool = spool};
	return mc_name_make(b, key, &ret->name, &ret->server);
}

static int ask_once(struct mc_connection *c, struct look *look, bool value)
{
	look_done(look);
	mc_item_put(c, &look->name, value);
	c->owes = true;
	int r = stream_send(&c->stream);
	if (r == 0)
		r = mc_item_read(c, look->b, &look->key->hash, look->expect, value ? look->spool : NULL, &look->found);
	c->owes = c->stream.broken;
	return r;
}

static bool is_known(const struct look *look)
{
	struct mc_seen seen;
	if (!mc_known_get(&look->b->known, &look->key->hash, &seen))
		return false;
	const bool same = version_equal(&seen.version, &look->found.version);
	mc_seen_done(&seen);
	return same;
}

static int ask(struct pooled *pooled, void *arg)
{
	struct mc_connection *c = mc_connection_of(pooled);
	struct look *look = arg;
	int r = ask_once(c, look, look->all);
	if (r < 0 || look->found.whole || !look->small)
		return r;
	const bool is_wanted = look->found.nameless || (look->found.size <= RECEIVE_SMALL && !is_known(look));
	return is_wanted ? ask_once(c, look, true) : 0;
}

/* --- finding --- */

/* Whether all is read at the first question: the value, whatever its size, is what names the version, or is no larger than it costs to ask twice. */
static bool reads_at_once(const struct look *look)
{
	struct mc_seen seen;
	const uint64_t item_max = atomic_load(&look->server->item_max);
	if (atomic_load(&look->server->no_cas))
		return true;
	if (item_max == 0 || item_max > MC_READ_AT_ONCE)
		return false;
	if (!mc_known_get(&look->b->known, &look->key->hash, &seen))
		return true;
	mc_seen_done(&seen);
	return false;
}

/* What is remembered of a value that was read: all of it, if it is small, else how it begins, which tells where the payload lies. 0, -ENOMEM. */
static int take_value(const struct slice *value, struct mc_seen *seen)
{
	int r = 0;
	slice_done(&seen->value);
	seen->whole = value->length <= RECEIVE_SMALL;
	if (seen->whole)
		slice_copy(value, &seen->value);
	else
		r = slice_new_copy(slice_memory(value), MC_HEAD_BYTES, &seen->value);
	seen->has_value = r == 0;
	return r;
}

/* What is to be shown of a value that was not read: what is known of it. 0, -ENOMEM. */
static int recall_value(const struct mc_seen *seen, uint64_t size, struct slice *ret)
{
	if (seen->has_value && seen->whole) {
		slice_copy(&seen->value, ret);
		return 0;
	}
	return slice_new_partial(seen->has_value ? slice_memory(&seen->value) : NULL, seen->has_value ? MC_HEAD_BYTES : 0, size, ret);
}

/* By our clock the same second may look like the one beside. */
static int64_t steady_expiry(int64_t known, int64_t found)
{
	return known && found && known - found >= -1 && known - found <= 1 ? known : found;
}

int mc_stored_of(struct mc_backend *b, const struct key_hash *key, struct mc_item_found *found, bool remember, struct stored *ret)
{
	cleanup_with(mc_seen_done) struct mc_seen seen = {.written = b->mounted};
	struct stored stored = {.version = found->version, .nameless = found->nameless, .size = found->size};
	const bool is_known = mc_known_get(&b->known, key, &seen), is_same = is_known && version_equal(&seen.version, &found->version);
	const bool is_other = is_known && !is_same && !found->nameless;
	if (is_other)
		clock_gettime(CLOCK_REALTIME, &seen.written);
	if (!is_same) {
		mc_seen_done(&seen);
		seen.has_value = false;
	}
	seen.version = found->version;
	seen.expires = stored.expires = is_same ? steady_expiry(seen.expires, found->expires) : found->expires;
	stored.written = seen.written;
	int r = found->whole ? take_value(&found->value, &seen) : recall_value(&seen, found->size, &stored.value);
	if (r < 0)
		return r;
	if (found->whole)
		stored.value = slice_steal(&found->value);
	if ((remember || is_other) && !found->nameless)
		mc_known_put(&b->known, key, &seen);
	*ret = stored;
	return 0;
}

int mc_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel, struct stored *ret)
{
	struct mc_backend *b = mc_of(backend);
	cleanup_with(look_done) struct look look;
	int r = look_begin(b, key, spool, &look);
	if (r < 0)
		return r;
	look.small = true;
	look.all = whole || reads_at_once(&look);
	r = mc_server_ask(look.server, ask, &look, cancel);
	if (r == 0)
		r = mc_stored_of(b, &key->hash, &look.found, true, ret);
	return r;
}

/* --- the rest of a value --- */

int mc_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool, const atomic_bool *cancel,
	struct slice *ret)
{
	struct mc_backend *b = mc_of(backend);
	cleanup_with(look_done) struct look look;
	int r = look_begin(b, key, spool, &look);
	if (r < 0)
		return r;
	look.all = true;
	look.expect = stored->nameless ? NULL : &stored->version;
	r = mc_server_ask(look.server, ask, &look, cancel);
	if (r == -ENOENT)
		return -ESTALE;
	/* What a listing has found without its version may be any that is as long. */
	const bool is = r == 0 && look.found.size == stored->value.length && (stored->nameless || version_equal(&look.found.version, &stored->version));
	if (r == 0 && !is)
		return -ESTALE;
	if (r < 0)
		return r;
	slice_copy(&look.found.value, ret);
	/* How it begins is known from now on, as far as there is memory. */
	cleanup_stored struct stored now = {0};
	(void)mc_stored_of(b, &key->hash, &look.found, true, &now);
	return 0;
}

/* --- when a version expires --- */

int mc_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret)
{
	struct mc_backend *b = mc_of(backend);
	cleanup_with(look_done) struct look look;
	cleanup_stored struct stored now = {0};
	if (!key->text)
		return -EIO;
	int r = look_begin(b, key, backend->spool, &look);
	if (r < 0)
		return r;
	look.all = atomic_load(&look.server->no_cas);
	r = mc_server_ask(look.server, ask, &look, NULL);
	if (r == -ENOENT || (r == 0 && !stored->nameless && !version_equal(&look.found.version, &stored->version)))
		return -ESTALE;
	if (r == 0)
		r = mc_stored_of(b, &key->hash, &look.found, true, &now);
	if (r == 0)
		*ret = now.expires;
	return r;
}
