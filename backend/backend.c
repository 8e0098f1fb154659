/* The table of backends, and the checked calls into them. */
#include "ckfs/backend.h"

#include "backends.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

const struct backend_ops *const backends[] = {
	&file_backend,
	&redis_backend,
	NULL,
};

void backend_close(struct backend *backend)
{
	if (backend)
		backend->ops->close(backend);
}

/* What is wrong with where values lie says nothing of what they are: on these errnos layers have their verdicts, a disk that is damaged its own. */
static int outcome(int r)
{
	switch (r) {
	case -EUCLEAN:
	case -EBADMSG:
	case -EFBIG:
	case -ENODATA:
	case -ENOKEY:
	case -EOPNOTSUPP:
		return -EIO;
	default:
		return r;
	}
}

int backend_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
	struct stored *ret)
{
	int r = outcome(backend->ops->find(backend, key, whole, spool, cancel, ret));
	assert(r <= 0);
	/* It may have expired on the way here. Times are whole seconds, rounded down. */
	if (r == 0 && has_expired(ret->expires) && ret->expires + 1 < clock_unix()) {
		stored_done(ret);
		r = -ENOENT;
	}
	return r;
}

int backend_resolve(struct backend *backend, const struct key_hash *hash, struct key *ret)
{
	int r = backend->ops->resolve ? outcome(backend->ops->resolve(backend, hash, ret)) : -ENOENT;
	assert(r <= 0);
	assert(r < 0 || ret->text);
	return r;
}

int backend_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool,
	const atomic_bool *cancel, struct slice *ret)
{
	return backend->ops->fetch ? outcome(backend->ops->fetch(backend, key, stored, spool, cancel, ret)) : -EIO;
}

int backend_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret)
{
	int r = outcome(backend->ops->expires(backend, key, stored, ret));
	assert(r <= 0);
	return r;
}

int backend_list(struct backend *backend, struct cursor **ret)
{
	int r = backend->ops->list(backend, ret);
	assert(r <= 0);
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
	int r = backend->ops->changed(backend, ret);
	assert(r <= 0);
	return r;
}

int backend_statfs(struct backend *backend, struct statvfs *ret)
{
	int r = backend->ops->statfs(backend, ret);
	assert(r <= 0);
	return r;
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

int cursor_next(struct cursor *cursor, bool value, struct listed *ret)
{
	int r = cursor->ops->next(cursor, value, ret);
	assert(r <= 1);
	assert(r != 1 || (cursor->ops->stores_keys == (ret->key.text != NULL)));
	return r;
}

uint64_t cursor_position(const struct cursor *cursor)
{
	return cursor->ops->position(cursor);
}

int cursor_seek(struct cursor *cursor, uint64_t position)
{
	int r = cursor->ops->seek(cursor, position);
	assert(r <= 0);
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
	return expires != 0 && clock_unix() >= expires;
}
