#include "ckfs/cache.h"

#include "ckfs/table.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct item {
	struct table_node node;
	struct version version;
	enum form form;
	struct slice slice;
	struct item *older, *younger;
};

struct cache {
	pthread_mutex_t lock;
	/* protected by lock */
	struct table by_version;
	struct item *oldest, *youngest; /* by their last use */
};

static uint64_t hash_of(const struct version *version, enum form form)
{
	uint64_t h;
	memcpy(&h, version->id, sizeof h);
	return h + form;
}

int cache_new(struct cache **ret)
{
	struct cache *cache = calloc(1, sizeof *cache);
	if (!cache || table_init(&cache->by_version) < 0) {
		free(cache);
		return -ENOMEM;
	}
	pthread_mutex_init(&cache->lock, NULL);
	*ret = cache;
	return 0;
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	cache_clear(cache);
	table_done(&cache->by_version);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

/* The functions below are called with the lock held. */

static struct item *find(const struct cache *cache, const struct version *version, enum form form)
{
	struct table_node *node = table_first(&cache->by_version, hash_of(version, form));
	for (; node; node = table_next(node)) {
		struct item *i = container_of(node, struct item, node);
		if (i->form == form && version_equal(&i->version, version))
			return i;
	}
	return NULL;
}

static void unlink_item(struct cache *cache, struct item *i)
{
	*(i->older ? &i->older->younger : &cache->oldest) = i->younger;
	*(i->younger ? &i->younger->older : &cache->youngest) = i->older;
}

static void link_youngest(struct cache *cache, struct item *i)
{
	i->older = cache->youngest;
	i->younger = NULL;
	*(i->older ? &i->older->younger : &cache->oldest) = i;
	cache->youngest = i;
}

static void drop(struct cache *cache, struct item *i)
{
	unlink_item(cache, i);
	table_remove(&cache->by_version, &i->node);
	slice_done(&i->slice);
	free(i);
}

void cache_clear(struct cache *cache)
{
	pthread_mutex_lock(&cache->lock);
	while (cache->oldest)
		drop(cache, cache->oldest);
	pthread_mutex_unlock(&cache->lock);
}

/* Finds an item, which is the youngest from now on. */
static struct item *use(struct cache *cache, const struct version *version, enum form form)
{
	struct item *i = find(cache, version, form);
	if (i) {
		unlink_item(cache, i);
		link_youngest(cache, i);
	}
	return i;
}

bool cache_get(struct cache *cache, const struct version *version, enum form form, struct slice *ret)
{
	pthread_mutex_lock(&cache->lock);
	struct item *i = use(cache, version, form);
	if (i)
		slice_copy(&i->slice, ret);
	pthread_mutex_unlock(&cache->lock);
	return i;
}

void cache_touch(struct cache *cache, const struct version *version, enum form form)
{
	pthread_mutex_lock(&cache->lock);
	use(cache, version, form);
	pthread_mutex_unlock(&cache->lock);
}

bool cache_has(struct cache *cache, const struct version *version, enum form form)
{
	pthread_mutex_lock(&cache->lock);
	bool has = find(cache, version, form);
	pthread_mutex_unlock(&cache->lock);
	return has;
}

void cache_put(struct cache *cache, const struct version *version, enum form form, const struct slice *slice)
{
	if (!storage_is_charged(slice->storage))
		return;
	struct item *i = calloc(1, sizeof *i);
	if (!i)
		return;
	i->version = *version;
	i->form = form;
	slice_copy(slice, &i->slice);
	pthread_mutex_lock(&cache->lock);
	struct item *before = find(cache, version, form);
	if (before)
		drop(cache, before);
	table_add(&cache->by_version, &i->node, hash_of(version, form));
	link_youngest(cache, i);
	pthread_mutex_unlock(&cache->lock);
}

void cache_make_room(struct cache *cache, const struct spool *spool, uint64_t n)
{
	pthread_mutex_lock(&cache->lock);
	for (struct item *i = cache->oldest, *younger; i && !spool_fits(spool, n); i = younger) {
		younger = i->younger;
		if (!storage_is_shared(i->slice.storage))
			drop(cache, i);
	}
	pthread_mutex_unlock(&cache->lock);
}
