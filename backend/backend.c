/* The checked calls of backends: what they may answer, what stands in for operations that one leaves out, their trace and their count. */
#include "ckfs/backend.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/event.h"
#include "ckfs/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <syslog.h>

/* Bytes of a key in a line of the trace. */
#define TRACED_KEY 200

/* Where nobody tells how large a store is. */
#define BLOCK 4096

/*
 * What is wrong with where values lie says nothing of what they are: on these errnos layers have their verdicts, a disk that is damaged its own.
 * The others mean something to the kernel, which would never ask again (ENOSYS), or to a backend alone.
 */
static int outcome(int r)
{
	switch (r) {
	case -EUCLEAN:
	case -EBADMSG:
	case -EFBIG:
	case -ENODATA:
	case -ENOKEY:
	case -EOPNOTSUPP:
	case -ENOSYS:
	case -EREMCHG:
	case -EREMOTE:
	case -EPROTO:
	case -EPROTOTYPE:
		return -EIO;
	default:
		return r;
	}
}

/* --- the trace and the count --- */

/* One call of an operation. */
struct call {
	const struct backend *backend;
	enum stats_call operation;
	const struct key *key; /* NULL: it is not about one */
	int64_t began;         /* clock_ns() */
};

/* What a local one takes, reading the clock would be a part of. */
static bool is_timed(const struct backend *backend)
{
	return backend->traced || (backend->ops->remote && backend->stats);
}

static struct call begin(const struct backend *backend, enum stats_call operation, const struct key *key)
{
	return (struct call){.backend = backend, .operation = operation, .key = key, .began = is_timed(backend) ? clock_ns() : 0};
}

/* Operation, key, what came of it, and how long it took: no values, and no secrets. */
static void trace(const struct call *call, int r)
{
	struct buf key = {0};
	char hex[KEY_HEX_SIZE + 1];
	if (call->key && call->key->text) {
		buf_escaped(&key, call->key->text, call->key->length, TRACED_KEY);
	} else if (call->key) {
		key_hash_to_hex(&call->key->hash, hex);
		buf_puts(&key, hex);
	}
	buf_put(&key, "", 1);
	if (!key.failed)
		log_line(LOG_DEBUG, "%s: %s%s%s: %s, %lld us", call->backend->ops->name, stats_call_name(call->operation), *key.p ? " " : "", key.p,
			r < 0 ? strerror(-r) : "ok", (long long)((clock_ns() - call->began) / 1000));
	buf_done(&key);
}

/* What an operation has answered. `max`: what it may say beside errors. Every operation ends here. */
static int end(const struct call *call, int r, int max)
{
	r = outcome(r);
	assert(r <= max);
	if (call->backend->stats)
		stats_count_call(call->backend->stats, call->operation, r);
	if (call->backend->stats && call->backend->ops->remote && call->began)
		stats_time_call(call->backend->stats, call->operation, clock_ns() - call->began);
	if (call->backend->traced)
		trace(call, r);
	return r;
}

/* The same of a change. That it is too large says nothing of what is stored. */
static int end_of_write(const struct call *call, int r)
{
	int answer = end(call, r, 0);
	return r == -EFBIG ? r : answer;
}

/* --- */

void backend_close(struct backend *backend)
{
	if (!backend)
		return;
	if (backend->ops->close) {
		backend->ops->close(backend);
		return;
	}
	free(backend->prefix);
	free(backend);
}

void backend_needs(const struct backend *backend, struct sandbox *sandbox)
{
	if (backend->ops->needs)
		backend->ops->needs(backend, sandbox);
	else if (backend->ops->remote)
		sandbox_allow_network(sandbox);
}

int backend_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
	struct stored *ret)
{
	const struct call call = begin(backend, CALL_FIND, key);
	int r = backend->ops->find(backend, key, whole, spool, cancel, ret);
	const bool is_large = r == -EFBIG && backend->ops->has_limit;
	/* It may have expired on the way here. Times are whole seconds, rounded down. */
	if (r == 0 && has_expired(ret->expires) && ret->expires + 1 < clock_unix()) {
		stored_done(ret);
		r = -ENOENT;
	}
	r = end(&call, r, 0);
	return is_large ? -EFBIG : r;
}

/* Looks at all keys. */
static int resolve_by_listing(struct backend *backend, const struct key_hash *hash, const atomic_bool *cancel, struct key *ret)
{
	struct cursor *cursor;
	struct listed listed;
	bool found = false;
	int r = backend_list(backend, &cursor);
	if (r < 0)
		return r;
	while (!found && (r = cursor_next(cursor, false, cancel, &listed)) == 1) {
		found = key_hash_equal(&listed.key.hash, hash);
		if (found)
			*ret = listed.key;
		else
			key_done(&listed.key);
		stored_done(&listed.stored);
	}
	cursor_end(cursor);
	return found ? 0 : r < 0 ? r : -ENOENT;
}

int backend_resolve(struct backend *backend, const struct key_hash *hash, const atomic_bool *cancel, struct key *ret)
{
	if (!backend->ops->resolve)
		return resolve_by_listing(backend, hash, cancel, ret);
	const struct call call = begin(backend, CALL_RESOLVE, &(struct key){.hash = *hash});
	int r = end(&call, backend->ops->resolve(backend, hash, cancel, ret), 0);
	assert(r < 0 || ret->text);
	return r;
}

static _Thread_local bool is_long;

bool backend_call_is_long(void)
{
	return is_long;
}

int backend_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool,
	const atomic_bool *cancel, struct slice *ret)
{
	if (!backend->ops->fetch)
		return -EIO;
	const struct call call = begin(backend, CALL_FETCH, key);
	is_long = true;
	int r = backend->ops->fetch(backend, key, stored, spool, cancel, ret);
	is_long = false;
	return end(&call, r, 0);
}

int backend_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret)
{
	if (!backend->ops->expires) {
		*ret = stored->expires;
		return 0;
	}
	const struct call call = begin(backend, CALL_EXPIRES, key);
	return end(&call, backend->ops->expires(backend, key, stored, ret), 0);
}

int backend_list(struct backend *backend, struct cursor **ret)
{
	/* An empty listing would say that there is nothing. */
	if (!backend->ops->list)
		return -EOPNOTSUPP;
	const struct call call = begin(backend, CALL_LIST, NULL);
	int r = end(&call, backend->ops->list(backend, ret), 0);
	if (r == 0)
		(*ret)->backend = backend;
	return r;
}

void backend_forget(struct backend *backend)
{
	if (backend->ops->forget)
		backend->ops->forget(backend);
}

void backend_stop(struct backend *backend)
{
	if (backend->ops->stop)
		backend->ops->stop(backend);
}

int backend_changed(struct backend *backend, struct timespec *ret)
{
	const struct call call = begin(backend, CALL_CHANGED, NULL);
	return backend->ops->changed ? end(&call, backend->ops->changed(backend, ret), 0) : -EOPNOTSUPP;
}

int backend_statfs(struct backend *backend, struct statvfs *ret)
{
	if (!backend->ops->statfs) {
		*ret = (struct statvfs){.f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = NAME_MAX};
		return 0;
	}
	const struct call call = begin(backend, CALL_STATFS, NULL);
	return end(&call, backend->ops->statfs(backend, ret), 0);
}

int backend_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel)
{
	if (!backend->ops->put)
		return -EOPNOTSUPP;
	if (backend->value_max && value->length > backend->value_max)
		return -EFBIG;
	const struct call call = begin(backend, CALL_PUT, key);
	is_long = true;
	int r = backend->ops->put(backend, key, value, lifetime, cancel);
	is_long = false;
	return end_of_write(&call, r);
}

int backend_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel)
{
	if (!backend->ops->remove)
		return -EOPNOTSUPP;
	const struct call call = begin(backend, CALL_REMOVE, key);
	return end_of_write(&call, backend->ops->remove(backend, key, cancel));
}

int backend_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel)
{
	if (!backend->ops->expire)
		return -EOPNOTSUPP;
	const struct call call = begin(backend, CALL_EXPIRE, key);
	return end_of_write(&call, backend->ops->expire(backend, key, expires, cancel));
}

int backend_collect(struct backend *backend, struct collecting *ret)
{
	return backend->ops->collect ? backend->ops->collect(backend, ret) : -EOPNOTSUPP;
}

int backend_stored_key(const struct backend *backend, const struct key *key, struct key *ret)
{
	size_t n = backend->prefix_length;
	cleanup_free char *text = n ? malloc(n + key->length) : NULL;
	if (n == 0)
		return key_copy(key, ret);
	if (!text)
		return -ENOMEM;
	memcpy(text, backend->prefix, n);
	memcpy(text + n, key->text, key->length);
	return key_from_text(text, n + key->length, ret);
}

int cursor_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret)
{
	if (was_cancelled(cancel))
		return -EINTR;
	struct call call = begin(cursor->backend, CALL_NEXT, NULL);
	int r = cursor->ops->next(cursor, value, cancel, ret);
	const bool is_refused = r == -EOPNOTSUPP;
	if (r == 1)
		call.key = &ret->key;
	r = end(&call, r, 1);
	if (is_refused)
		return -EOPNOTSUPP;
	assert(r != 1 || ret->key.text || !cursor->ops->stores_keys);
	return r;
}

void cursor_end(struct cursor *cursor)
{
	if (cursor)
		cursor->ops->list_end(cursor);
}

void stored_done(struct stored *stored)
{
	slice_done(&stored->value);
}

bool version_equal(const struct version *a, const struct version *b)
{
	return memcmp(a->id, b->id, sizeof a->id) == 0;
}

bool has_expired(int64_t expires)
{
	return expires > 0 && clock_unix() >= expires;
}
