/* The versions of a cache that are being looked at: all of them, as long as there is a mount. */
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
