/* The versions of a cache that are being looked at, each by all who look at it. */
#include "entry_private.h"

#include "head.h"
#include "steps.h"

#include "ckfs/clock.h"
#include "ckfs/thread.h"

#include <assert.h>
#include <errno.h>

/* How long an entry that a lookup found stays open, in milliseconds, and how many do. */
#define RECENT_MS 1000
#define RECENT_MAX 256

/* Threads that fetch values. More, while all of them wait: see WAITER_THREADS_MAX. */
#define FETCHER_THREADS 12
#define FETCHER_THREADS_MAX 128

static void unref_recent(struct deadline *deadline)
{
	entry_unref(container_of(deadline, struct entry, recent));
}

/*
 * What is only kept gives way to what is being made. Where that is not enough, entries that were found a moment ago and
 * that nobody has opened go, too, with what they hold on to. 0: all of them.
 */
static void make_room(void *arg, uint64_t n)
{
	struct entries *e = arg;
	decoded_make_room(e->decoded, &e->spool, n);
	if (n > 0 && spool_fits(&e->spool, n))
		return;
	deadlines_drop(&e->recent);
	decoded_make_room(e->decoded, &e->spool, n);
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
	e->opens_bare = e->keyring && (e->options->bare != BARE_OPAQUE || e->options->bare_tenant);
	e->lists_known = !parts->backend->ops->list;
	e->spool = (struct spool){
		.directory = parts->options->spool_dir,
		.memory_max = parts->options->cache_size,
		.head_of = value_head,
		.make_room = make_room,
		.arg = e,
	};
	e->backend->spool = &e->spool;
	e->backend->stats = parts->stats;
	lately_init(&e->lately);
	deadlines_init(&e->recent, RECENT_MS, unref_recent);
	pthread_mutex_init(&e->lock, NULL);
	int r = table_init(&e->held);
	if (r == 0)
		r = learnt_new(&e->learnt);
	if (r == 0)
		r = decoded_new(&e->decoded);
	if (r == 0)
		r = work_pool_new(thread_cpus(), &e->decoders);
	if (r == 0)
		r = work_pool_new(FETCHER_THREADS, &e->fetchers);
	if (r < 0) {
		entries_free(e);
		return r;
	}
	work_pool_grow(e->fetchers, FETCHER_THREADS_MAX);
	*ret = e;
	return 0;
}

static void for_each_held(struct entries *entries, void (*tell)(struct entry *entry))
{
	LOCK(&entries->lock);
	for (size_t i = 0; i < entries->held.bucket_count; i++)
		for (struct table_node *node = entries->held.buckets[i]; node; node = node->next)
			tell(container_of(node, struct entry, node));
}

static void cancel_entry(struct entry *entry)
{
	entry->cancel = true;
}

void entries_stop(struct entries *entries)
{
	entries->stopping = true;
	for_each_held(entries, cancel_entry);
	/* What one of them does may go on in the other: both are there until both have ended. */
	work_pool_stop(entries->fetchers);
	work_pool_stop(entries->decoders);
}

void entries_free(struct entries *entries)
{
	if (!entries)
		return;
	deadlines_done(&entries->recent);
	lately_done(&entries->lately);
	work_pool_free(entries->fetchers);
	work_pool_free(entries->decoders);
	assert(entries->held.count == 0);
	table_done(&entries->held);
	learnt_free(entries->learnt);
	decoded_free(entries->decoded);
	spool_close_huge(&entries->spool);
	pthread_mutex_destroy(&entries->lock);
	free(entries);
}

static void drop_entry(struct entry *entry)
{
	entry->dropped = true;
}

void entries_drop(struct entries *entries)
{
	learnt_clear(entries->learnt);
	for_each_held(entries, drop_entry);
	deadlines_drop(&entries->recent);
	decoded_clear(entries->decoded);
}

uint64_t entries_decoded_bytes(const struct entries *entries)
{
	return atomic_load(&entries->spool.memory_used);
}

struct spool *entries_spool(struct entries *entries)
{
	return &entries->spool;
}

struct backend *entries_backend(const struct entries *entries)
{
	return entries->backend;
}

const struct options *entries_options(const struct entries *entries)
{
	return entries->options;
}

bool entries_go_by_text(const struct entries *entries, const struct key *key)
{
	return key->text && (entries->opens_bare || key_is_interop(key));
}

const char *entries_bare_tenant(const struct entries *entries)
{
	const char *tenant = entries->options->bare_tenant;
	return tenant ? tenant : KEYRING_DEFAULT_TENANT;
}

struct entry_id entry_id_of_key(const struct entries *entries, const struct key *key, const struct version *version)
{
	return (struct entry_id){.version = *version, .key = key->hash, .by_text = entries_go_by_text(entries, key)};
}

/* An entry that knows its key by text and one that does not are two: what they can tell differs, not what is true. entries->lock is held. */
static struct entry *find_held(struct entries *entries, const struct entry_id *id, bool by_text, bool dropped)
{
	struct table_node *node = table_first(&entries->held, entry_id_short(id));
	for (; node; node = table_next(node)) {
		struct entry *e = container_of(node, struct entry, node);
		if (e->dropped == dropped && entry_id_equal(&e->id, id) && (e->key.text != NULL) == by_text) {
			e->refs++;
			return e;
		}
	}
	return NULL;
}

static struct entry *find_shared(struct entries *entries, const struct entry_id *id, bool by_text)
{
	LOCK(&entries->lock);
	return find_held(entries, id, by_text, false);
}

static struct entry *held(struct entries *entries, const struct entry_id *id, bool dropped)
{
	LOCK(&entries->lock);
	struct entry *e = find_held(entries, id, true, dropped);
	return e ? e : find_held(entries, id, false, dropped);
}

struct entry *entries_held(struct entries *entries, const struct key_hash *hash, bool by_text, const struct version *version)
{
	return held(entries, &(struct entry_id){.version = *version, .key = *hash, .by_text = by_text}, false);
}

struct entry *entries_still_held(struct entries *entries, const struct key_hash *hash, bool by_text, const struct version *version)
{
	struct entry *e = entries_held(entries, hash, by_text, version);
	return e ? e : held(entries, &(struct entry_id){.version = *version, .key = *hash, .by_text = by_text}, true);
}

/* An entry that others hold was found again. If that was by its head, and now its value whole, they need not fetch it. */
static void found_again(struct entry *entry, uint64_t ask, const struct stored *stored)
{
	struct storage *storage = entry->stored.value.storage;
	entry_note_found(entry, ask, stored);
	if (!storage_is_whole(storage) && storage_is_whole(stored->value.storage))
		(void)storage_complete(storage, &stored->value);
}

/* What another thread shares already, a reference; else NULL, and `mine` is shared from now on. */
static struct entry *share(struct entries *entries, struct entry *mine, uint64_t ask)
{
	LOCK(&entries->lock);
	struct entry *theirs = find_held(entries, &mine->id, mine->key.text != NULL, false);
	if (theirs)
		return theirs;
	mine->shared = true;
	mine->expires_ask = ask;
	table_add(&entries->held, &mine->node, entry_id_short(&mine->id));
	return NULL;
}

/* An entry whose frame was read, unless that takes long. Takes what key and stored hold. 0; -EIO, -ENOMEM. */
static int make_entry(struct entries *entries, struct key *key, struct stored *stored, struct entry **ret)
{
	cleanup_entry struct entry *entry = NULL;
	int r = entry_new(entries, key, stored, &entry);
	if (r < 0)
		return r;
	r = step_begin(entry);
	if (r < 0) {
		*key = key_steal(&entry->key);
		*stored = stored_steal(&entry->stored);
		return r;
	}
	*ret = steal(entry);
	return 0;
}

/* The key with its text, where that can be known. */
static int learn_key(struct entries *entries, const struct key *key, const atomic_bool *cancel, struct key *ret)
{
	struct key known;
	int r = key->text ? key_copy(key, ret) : known_keys_find(entries->known, &key->hash, ret);
	if (r < 0 || ret->text || !entries->backend->ops->stores_keys)
		return r;
	r = backend_resolve(entries->backend, &key->hash, cancel, &known);
	if (r < 0)
		return r;
	known_keys_add(entries->known, &known);
	*ret = known;
	return 0;
}

/* What is only kept gives way where descriptors are short. */
int entries_find_stored(struct entries *entries, const struct key *key, bool whole, const atomic_bool *cancel, struct stored *ret)
{
	int r = backend_find(entries->backend, key, whole, &entries->spool, cancel, ret);
	if (r == -EMFILE || r == -ENFILE) {
		deadlines_drop(&entries->recent);
		r = backend_find(entries->backend, key, whole, &entries->spool, cancel, ret);
	}
	/* Where listings show what is known, they show what is there. */
	if (r == -ENOENT && entries->lists_known)
		known_keys_unlearn(entries->known, &key->hash);
	return r;
}

/* The entry of what was found: the one that others hold, or a new one, which is shared from now on. */
static int entry_of(struct entries *entries, struct key *key, struct stored *stored, uint64_t ask, struct entry **ret)
{
	const struct entry_id id = entry_id_of_key(entries, key, &stored->version);
	cleanup_entry struct entry *mine = NULL;
	struct entry *theirs = find_shared(entries, &id, key->text != NULL);
	if (!theirs) {
		int r = make_entry(entries, key, stored, &mine);
		if (r < 0)
			return r;
		theirs = share(entries, mine, ask);
	}
	if (theirs)
		found_again(theirs, ask, mine ? &mine->stored : stored);
	*ret = theirs ? theirs : steal(mine);
	return 0;
}

int entries_find(struct entries *entries, const struct key *key, bool whole, const atomic_bool *cancel, struct entry **ret)
{
	cleanup_key struct key own = {0};
	cleanup_stored struct stored stored = {0};
	int r = learn_key(entries, key, cancel, &own);
	if (r < 0)
		return r;
	uint64_t ask = entries_next_ask(entries);
	const struct key_hash hash = own.hash;
	r = entries_find_stored(entries, &own, whole, cancel, &stored);
	if (r == 0)
		r = entry_of(entries, &own, &stored, ask, ret);
	if (entries->backend->ops->metered)
		lately_note(&entries->lately, &hash, r == 0 ? &(*ret)->id : NULL, ask, clock_ms() + (int64_t)(entries->options->listed_ttl * 1000));
	return r;
}

struct entry *entries_found_lately(struct entries *entries, const struct key_hash *key)
{
	struct entry_id id;
	if (!entries->backend->ops->metered || !lately_find(&entries->lately, key, &id))
		return NULL;
	return held(entries, &id, false);
}

void entries_changed(struct entries *entries, const struct key_hash *key, bool is_gone)
{
	/* Whatever was asked before this is no answer any more. */
	if (entries->backend->ops->metered)
		lately_note(&entries->lately, key, NULL, entries_next_ask(entries), 0);
	if (is_gone && entries->lists_known)
		known_keys_unlearn(entries->known, key);
}

int entries_listed(struct entries *entries, struct listed *listed, struct entry **ret)
{
	int r = 0;
	if (!listed->key.text) {
		const struct key_hash hash = listed->key.hash;
		r = known_keys_find(entries->known, &hash, &listed->key);
	}
	if (r == 0)
		r = make_entry(entries, &listed->key, &listed->stored, ret);
	if (r == 0)
		(*ret)->listed = true;
	return r;
}

void entry_keep(struct entry *entry)
{
	cleanup_entry struct entry *surplus = NULL;
	struct deadlines *recent = &entry->entries->recent;
	entry_ref(entry);
	LOCK(&recent->lock);
	if (entry->recent.at)
		surplus = entry; /* it has a reference there already */
	else if (recent->count == RECENT_MAX)
		surplus = container_of(recent->first, struct entry, recent);
	if (surplus)
		deadlines_remove(recent, &surplus->recent);
	deadlines_add(recent, &entry->recent);
}
