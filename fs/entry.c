#include "entry_private.h"

#include "ckfs/cleanup.h"
#include "ckfs/inherited.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/*
 * What is only kept gives way to what is being made: entries that nobody has opened first, since what they hold on to
 * could not go in its turn.
 */
static void make_room(void *arg, uint64_t n)
{
	struct entries *e = arg;
	kept_drop(&e->kept);
	cache_make_room(e->cache, &e->spool, n);
}

int entries_new(const struct entries_parts *parts, struct entries **ret)
{
	struct entries *e = calloc(1, sizeof *e);
	if (!e)
		return -ENOMEM;
	e->options = parts->options;
	e->backend = parts->backend;
	e->known = parts->known;
	e->stats = parts->stats;
	e->keyring = parts->keyring;
	e->spool = (struct spool){
		.directory = parts->options->spool_dir,
		.memory_max = parts->options->cache_size,
		.make_room = make_room,
		.arg = e,
	};
	kept_init(&e->kept);
	pthread_mutex_init(&e->lock, NULL);
	int r = table_init(&e->held);
	if (r == 0)
		r = learnt_new(&e->learnt);
	if (r == 0)
		r = cache_new(&e->cache);
	if (r == 0)
		r = work_pool_new(inherited_cores(), &e->decoders);
	if (r == 0)
		r = work_pool_new(FETCHES_MAX, &e->fetchers);
	if (r < 0) {
		entries_free(e);
		return r;
	}
	*ret = e;
	return 0;
}

void entries_stop(struct entries *entries)
{
	struct table_node *node;
	entries->stopping = true;
	pthread_mutex_lock(&entries->lock);
	for (size_t i = 0; i < entries->held.bucket_count; i++)
		for (node = entries->held.buckets[i]; node; node = node->next)
			container_of(node, struct entry, node)->cancel = true;
	pthread_mutex_unlock(&entries->lock);
	/* What one of them does may go on in the other: both are there until both have ended. */
	work_pool_stop(entries->fetchers);
	work_pool_stop(entries->decoders);
}

void entries_free(struct entries *entries)
{
	if (!entries)
		return;
	kept_done(&entries->kept);
	work_pool_free(entries->fetchers);
	work_pool_free(entries->decoders);
	assert(entries->held.count == 0);
	table_done(&entries->held);
	learnt_free(entries->learnt);
	cache_free(entries->cache);
	pthread_mutex_destroy(&entries->lock);
	free(entries);
}

void entries_drop(struct entries *entries)
{
	struct table_node *node;
	learnt_clear(entries->learnt);
	pthread_mutex_lock(&entries->lock);
	for (size_t i = 0; i < entries->held.bucket_count; i++)
		for (node = entries->held.buckets[i]; node; node = node->next)
			container_of(node, struct entry, node)->dropped = true;
	pthread_mutex_unlock(&entries->lock);
	kept_drop(&entries->kept);
	cache_clear(entries->cache);
}

uint64_t entries_decoded_bytes(const struct entries *entries)
{
	return atomic_load(&entries->spool.memory_used);
}

struct learnt *entries_learnt(struct entries *entries)
{
	return entries->learnt;
}

const struct spool *entries_spool(const struct entries *entries)
{
	return &entries->spool;
}

static uint64_t version_short(const struct version *version)
{
	uint64_t h;
	memcpy(&h, version->id, sizeof h);
	return h;
}

/* An entry that knows its key by text and one that does not are two: what they can tell differs. entries->lock is held. */
static struct entry *find_held(struct entries *entries, const struct key_hash *hash, bool interop, bool has_text,
	const struct version *version)
{
	struct table_node *node = table_first(&entries->held, version_short(version));
	for (; node; node = table_next(node)) {
		struct entry *e = container_of(node, struct entry, node);
		if (!e->dropped && version_equal(&e->stored.version, version) && key_hash_equal(&e->key.hash, hash) && e->interop == interop &&
			(e->key.text != NULL) == has_text) {
			e->refs++;
			return e;
		}
	}
	return NULL;
}

struct entry *entries_held(struct entries *entries, const struct key_hash *hash, bool interop, const struct version *version)
{
	pthread_mutex_lock(&entries->lock);
	struct entry *e = find_held(entries, hash, interop, true, version);
	if (!e)
		e = find_held(entries, hash, interop, false, version);
	pthread_mutex_unlock(&entries->lock);
	return e;
}

static void entry_free(struct entry *entry)
{
	struct stats *stats = entry->entries->stats;
	slice_done(&entry->columns);
	slice_done(&entry->json);
	slice_done(&entry->body);
	document_done(&entry->document);
	slice_done(&entry->payload);
	frame_done(&entry->frame);
	stored_done(&entry->stored);
	key_done(&entry->key);
	pthread_mutex_destroy(&entry->lock);
	free(entry);
	/* Who reads that no entry is held may rely on what they held being free. */
	stats_add(stats, entries, -1);
}

/* Takes what key and stored hold, also on failure. */
static int entry_new(struct entries *entries, struct key *key, struct stored *stored, struct entry **ret)
{
	struct entry *e = calloc(1, sizeof *e);
	if (!e) {
		key_done(key);
		stored_done(stored);
		return -ENOMEM;
	}
	e->entries = entries;
	e->key = *key;
	e->stored = *stored;
	e->expires = stored->expires;
	e->interop = key_is_interop(key);
	e->refs = 1;
	pthread_mutex_init(&e->lock, NULL);
	stats_add(entries->stats, entries, 1);
	if (storage_is_whole(e->stored.value.storage))
		e->have = HAVE_WHOLE;
	int r = peel_stored(e);
	if (r < 0) {
		entry_free(e);
		return r;
	}
	*ret = e;
	return 0;
}

/* Answers may come in another order than they were asked for: who prints what it was told must not print an older one. */
static void note_expiry(struct entry *entry, uint64_t ask, int64_t expires)
{
	pthread_mutex_lock(&entry->entries->lock);
	if (ask > entry->expires_ask) {
		entry->expires = expires;
		entry->expires_ask = ask;
	}
	pthread_mutex_unlock(&entry->entries->lock);
}

/* An entry that others hold was found again. If that was by its head, and now its value whole, they need not fetch it. */
static void found_again(struct entry *entry, uint64_t ask, const struct stored *stored)
{
	struct storage *storage = entry->stored.value.storage;
	note_expiry(entry, ask, stored->expires);
	if (!storage_is_whole(storage) && storage_is_whole(stored->value.storage))
		(void)storage_complete(storage, &stored->value);
}

/* Shares a new entry, or takes the one that another thread shared first. */
static struct entry *share(struct entries *entries, struct entry *mine, uint64_t ask)
{
	pthread_mutex_lock(&entries->lock);
	struct entry *theirs = find_held(entries, &mine->key.hash, mine->interop, mine->key.text != NULL, &mine->stored.version);
	if (!theirs) {
		mine->shared = true;
		mine->expires_ask = ask;
		table_add(&entries->held, &mine->node, version_short(&mine->stored.version));
	}
	pthread_mutex_unlock(&entries->lock);
	if (!theirs)
		return mine;
	found_again(theirs, ask, &mine->stored);
	entry_free(mine);
	return theirs;
}

/* The key with its text, where that can be known. */
static int learn_key(struct entries *entries, const struct key *key, struct key *ret)
{
	struct key known;
	int r = key->text ? key_copy(key, ret) : known_keys_find(entries->known, &key->hash, ret);
	if (r < 0 || ret->text || !entries->backend->ops->resolve)
		return r;
	r = backend_resolve(entries->backend, &key->hash, &known);
	if (r < 0)
		return r;
	known_keys_add(entries->known, &known);
	*ret = known;
	return 0;
}

int entries_find(struct entries *entries, const struct key *key, bool whole, const atomic_bool *cancel, struct entry **ret)
{
	struct key own;
	struct stored stored;
	int r = learn_key(entries, key, &own);
	if (r < 0)
		return r;
	uint64_t ask = atomic_fetch_add(&entries->asks, 1) + 1;
	r = backend_find(entries->backend, &own, whole, &entries->spool, cancel, &stored);
	if (r == -EMFILE || r == -ENFILE) {
		/* What is only kept gives way. */
		kept_drop(&entries->kept);
		r = backend_find(entries->backend, &own, whole, &entries->spool, cancel, &stored);
	}
	if (r < 0) {
		key_done(&own);
		return r;
	}

	pthread_mutex_lock(&entries->lock);
	struct entry *entry = find_held(entries, &own.hash, key_is_interop(&own), own.text != NULL, &stored.version);
	pthread_mutex_unlock(&entries->lock);
	if (entry) {
		found_again(entry, ask, &stored);
		key_done(&own);
		stored_done(&stored);
	} else {
		r = entry_new(entries, &own, &stored, &entry);
		if (r < 0)
			return r;
		entry = share(entries, entry, ask);
	}
	*ret = entry;
	return 0;
}

int entries_listed(struct entries *entries, struct listed *listed, struct entry **ret)
{
	if (!listed->key.text) {
		struct key_hash hash = listed->key.hash;
		int r = known_keys_find(entries->known, &hash, &listed->key);
		if (r < 0) {
			stored_done(&listed->stored);
			return r;
		}
	}
	return entry_new(entries, &listed->key, &listed->stored, ret);
}

struct entry *entry_ref(struct entry *entry)
{
	pthread_mutex_lock(&entry->entries->lock);
	entry->refs++;
	pthread_mutex_unlock(&entry->entries->lock);
	return entry;
}

void entry_unref(struct entry *entry)
{
	if (!entry)
		return;
	struct entries *entries = entry->entries;
	pthread_mutex_lock(&entries->lock);
	bool last = --entry->refs == 0;
	if (last && entry->shared)
		table_remove(&entries->held, &entry->node);
	pthread_mutex_unlock(&entries->lock);
	if (last)
		entry_free(entry);
}

int64_t entry_expires(struct entry *entry)
{
	pthread_mutex_lock(&entry->entries->lock);
	int64_t expires = entry->expires;
	pthread_mutex_unlock(&entry->entries->lock);
	return expires;
}

int entry_ask_expires(struct entry *entry)
{
	struct entries *entries = entry->entries;
	uint64_t ask = atomic_fetch_add(&entries->asks, 1) + 1;
	int64_t expires;
	int r = backend_expires(entries->backend, &entry->key, &entry->stored, &expires);
	if (r == 0)
		note_expiry(entry, ask, expires);
	return r == -ESTALE ? 0 : r;
}

void entry_keep(struct entry *entry)
{
	kept_add(&entry->entries->kept, entry);
}
