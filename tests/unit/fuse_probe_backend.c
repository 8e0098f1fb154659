/* The backend of fuse-probe: it has a few keys, and does what it is told. */
#include "fuse_probe.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 16

/* The value's bytes that a remote backend finds at first. */
#define HEAD 512

static const char *const points[] = {"find", "fetch", "expires", "list", "next", "statfs", "put", "remove", "expire"};
enum { FIND, FETCH, EXPIRES, LIST, NEXT, STATFS, PUT, REMOVE, EXPIRE, POINTS };

/* All of it is protected by probe_lock. */
static struct {
	struct backend backend; /* first */
	bool stopped;
	struct {
		bool held, deaf;
		int error;
		unsigned calls, waiting;
	} at[POINTS];
	struct {
		struct key key; /* text NULL: none */
		unsigned version;
		int64_t expires;
		struct slice value;
	} keys[KEYS_MAX];
} scripted;

struct scripted_cursor {
	struct cursor cursor; /* first */
	unsigned next;
};

/* Takes probe_lock, which the caller lets go of. 0, -errno as the script has it. */
static int pass(unsigned point, const atomic_bool *cancel)
{
	pthread_mutex_lock(&probe_lock);
	scripted.at[point].calls++;
	scripted.at[point].waiting++;
	bool cancelled = false;
	while (scripted.at[point].held && !scripted.stopped && !cancelled) {
		cancelled = cancel && *cancel && !scripted.at[point].deaf;
		probe_tick();
	}
	scripted.at[point].waiting--;
	return cancelled || scripted.stopped ? -EINTR : -scripted.at[point].error;
}

static unsigned find_key(const struct key *key)
{
	unsigned i = 0;
	while (i < KEYS_MAX && !(scripted.keys[i].key.text && key_hash_equal(&scripted.keys[i].key.hash, &key->hash)))
		i++;
	return i;
}

static void version_of(unsigned i, struct version *ret)
{
	memset(ret, 0, sizeof *ret);
	memcpy(ret->id, &scripted.keys[i].version, sizeof scripted.keys[i].version);
}

/* 0, -ENOMEM. */
static int describe(unsigned i, bool whole, struct stored *ret)
{
	const struct slice *value = &scripted.keys[i].value;
	*ret = (struct stored){.size = value->length, .expires = scripted.keys[i].expires, .written.tv_sec = scripted.keys[i].version};
	version_of(i, &ret->version);
	if (whole || value->length <= HEAD) {
		slice_copy(value, &ret->value);
		return 0;
	}
	struct storage *storage;
	int r = storage_new_partial(slice_memory(value), HEAD, &storage);
	if (r < 0)
		return r;
	slice_new(storage, 0, value->length, &ret->value);
	storage_unref(storage);
	return 0;
}

static int scripted_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel, struct stored *ret)
{
	(void)spool;
	int r = pass(FIND, cancel);
	unsigned i = find_key(key);
	if (r == 0)
		r = i == KEYS_MAX ? -ENOENT : describe(i, whole || !backend->ops->remote, ret);
	pthread_mutex_unlock(&probe_lock);
	return r;
}

static int scripted_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool, const atomic_bool *cancel,
	struct slice *ret)
{
	(void)backend;
	(void)spool;
	struct version version;
	int r = pass(FETCH, cancel);
	unsigned i = find_key(key);
	if (r == 0 && i < KEYS_MAX)
		version_of(i, &version);
	if (r == 0 && (i == KEYS_MAX || !version_equal(&version, &stored->version)))
		r = -ESTALE;
	if (r == 0)
		slice_copy(&scripted.keys[i].value, ret);
	pthread_mutex_unlock(&probe_lock);
	return r;
}

static int scripted_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret)
{
	(void)backend;
	(void)stored;
	int r = pass(EXPIRES, NULL);
	unsigned i = find_key(key);
	if (r == 0 && i == KEYS_MAX)
		r = -ESTALE;
	if (r == 0)
		*ret = scripted.keys[i].expires;
	pthread_mutex_unlock(&probe_lock);
	return r;
}

static int scripted_list(struct backend *backend, struct cursor **ret)
{
	struct scripted_cursor *cursor = calloc(1, sizeof *cursor);
	int r = pass(LIST, NULL);
	pthread_mutex_unlock(&probe_lock);
	if (r < 0 || !cursor) {
		free(cursor);
		return r < 0 ? r : -ENOMEM;
	}
	cursor->cursor.ops = backend->ops;
	*ret = &cursor->cursor;
	return 0;
}

static int scripted_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret)
{
	unsigned *next = &((struct scripted_cursor *)cursor)->next;
	(void)value;
	int r = pass(NEXT, cancel);
	while (*next < KEYS_MAX && !scripted.keys[*next].key.text)
		(*next)++;
	if (r == 0 && *next < KEYS_MAX) {
		*ret = (struct listed){.stored.size = 0};
		r = key_copy(&scripted.keys[*next].key, &ret->key);
		if (r == 0)
			r = describe((*next)++, true, &ret->stored);
		r = r < 0 ? r : 1;
	}
	pthread_mutex_unlock(&probe_lock);
	return r;
}

static void scripted_list_end(struct cursor *cursor)
{
	free(cursor);
}

static int scripted_changed(struct backend *backend, struct timespec *ret)
{
	(void)backend;
	*ret = (struct timespec){0};
	return 0;
}

static int scripted_statfs(struct backend *backend, struct statvfs *ret)
{
	(void)backend;
	int r = pass(STATFS, NULL);
	pthread_mutex_unlock(&probe_lock);
	if (r == 0)
		*ret = (struct statvfs){.f_blocks = 7};
	return r;
}

static unsigned place_for(const struct key *key)
{
	unsigned i = find_key(key);
	for (unsigned free_one = 0; i == KEYS_MAX; free_one++)
		if (!scripted.keys[free_one].key.text)
			i = free_one;
	return i;
}

static void remove_at(unsigned i)
{
	key_done(&scripted.keys[i].key);
	slice_done(&scripted.keys[i].value);
}

static int scripted_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel)
{
	static unsigned version = 1000;
	(void)backend;
	int r = pass(PUT, cancel);
	unsigned i = place_for(key);
	if (r == 0) {
		remove_at(i);
		r = key_copy(key, &scripted.keys[i].key);
	}
	static uint8_t bytes[1 << 16];
	if (r == 0)
		r = slice_read(value, 0, bytes, (size_t)value->length);
	/* Its own: what was written is counted in the mount's spool, and may be gone. */
	if (r == 0)
		r = slice_new_copy(bytes, (size_t)value->length, &scripted.keys[i].value);
	if (r == 0) {
		scripted.keys[i].version = version++;
		scripted.keys[i].expires = lifetime->is_set ? lifetime->expires : 0;
	}
	pthread_mutex_unlock(&probe_lock);
	return r;
}

static int scripted_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel)
{
	(void)backend;
	int r = pass(REMOVE, cancel);
	unsigned i = find_key(key);
	if (r == 0 && i == KEYS_MAX)
		r = -ENOENT;
	if (r == 0)
		remove_at(i);
	pthread_mutex_unlock(&probe_lock);
	return r;
}

static int scripted_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel)
{
	(void)backend;
	int r = pass(EXPIRE, cancel);
	unsigned i = find_key(key);
	if (r == 0 && i == KEYS_MAX)
		r = -ENOENT;
	if (r == 0)
		scripted.keys[i].expires = expires;
	pthread_mutex_unlock(&probe_lock);
	return r;
}

static void scripted_stop(struct backend *backend)
{
	(void)backend;
	pthread_mutex_lock(&probe_lock);
	scripted.stopped = true;
	pthread_cond_broadcast(&probe_changed);
	pthread_mutex_unlock(&probe_lock);
}

static struct backend_ops scripted_ops = {
	.name = "scripted",
	.stores_keys = true,
	.find = scripted_find,
	.fetch = scripted_fetch,
	.expires = scripted_expires,
	.list = scripted_list,
	.next = scripted_next,
	.list_end = scripted_list_end,
	.changed = scripted_changed,
	.statfs = scripted_statfs,
	.put = scripted_put,
	.remove = scripted_remove,
	.expire = scripted_expire,
};

void scripted_store(const char *text, unsigned version, long long expires, const char *hex)
{
	static uint8_t bytes[1 << 16];
	size_t n = 0;
	for (unsigned byte; n < sizeof bytes && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		bytes[n] = (uint8_t)byte;
	struct key key;
	if (key_from_text(text, strlen(text), &key) < 0)
		abort();
	LOCK(&probe_lock);
	unsigned i = place_for(&key);
	remove_at(i);
	scripted.keys[i].key = key;
	scripted.keys[i].version = version;
	scripted.keys[i].expires = expires;
	if (slice_new_copy(bytes, n, &scripted.keys[i].value) < 0)
		abort();
}

void scripted_forget(const char *text)
{
	struct key key;
	if (key_from_text(text, strlen(text), &key) < 0)
		abort();
	LOCK(&probe_lock);
	unsigned i = find_key(&key);
	if (i < KEYS_MAX)
		remove_at(i);
	key_done(&key);
}

static unsigned point_of(const char *name)
{
	for (unsigned i = 0; i < POINTS; i++)
		if (strcmp(points[i], name) == 0)
			return i;
	abort();
}

void scripted_set(const char *name, bool held, bool deaf, int error)
{
	unsigned point = point_of(name);
	LOCK(&probe_lock);
	scripted.at[point].held = held;
	scripted.at[point].deaf = deaf;
	scripted.at[point].error = error;
	pthread_cond_broadcast(&probe_changed);
}

void scripted_let_go(void)
{
	for (unsigned point = 0; point < POINTS; point++)
		scripted_set(points[point], false, false, 0);
}

unsigned scripted_calls(const char *name, bool waiting)
{
	const unsigned point = point_of(name);
	LOCK(&probe_lock);
	return waiting ? scripted.at[point].waiting : scripted.at[point].calls;
}

struct backend *scripted_begin(bool remote)
{
	scripted_ops.remote = remote;
	scripted_ops.stop = remote ? scripted_stop : NULL;
	scripted.backend.ops = &scripted_ops;
	return &scripted.backend;
}

void scripted_end(void)
{
	for (unsigned i = 0; i < KEYS_MAX; i++)
		remove_at(i);
}
