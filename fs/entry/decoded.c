#include "decoded.h"

#include "ckfs/cleanup.h"
#include "ckfs/table.h"

#include <errno.h>
#include <pthread.h>

struct item {
	struct table_node node;
	struct entry_id id;
	enum form form;
	struct slice slice;
	struct item *older, *younger;
};

struct decoded {
	pthread_mutex_t lock;
	/* protected by lock */
	struct table by_id;
	struct item *oldest, *youngest; /* by their last use */
};

static uint64_t hash_of(const struct entry_id *id, enum form form)
{
	return entry_id_short(id) + form;
}

int decoded_new(struct decoded **ret)
{
	struct decoded *decoded = calloc(1, sizeof *decoded);
	if (!decoded || table_init(&decoded->by_id) < 0) {
		free(decoded);
		return -ENOMEM;
	}
	pthread_mutex_init(&decoded->lock, NULL);
	*ret = decoded;
	return 0;
}

void decoded_free(struct decoded *decoded)
{
	if (!decoded)
		return;
	decoded_clear(decoded);
	table_done(&decoded->by_id);
	pthread_mutex_destroy(&decoded->lock);
	free(decoded);
}

/* The functions below are called with the lock held. */

static struct item *find(const struct decoded *decoded, const struct entry_id *id, enum form form)
{
	struct table_node *node = table_first(&decoded->by_id, hash_of(id, form));
	for (; node; node = table_next(node)) {
		struct item *i = container_of(node, struct item, node);
		if (i->form == form && entry_id_equal(&i->id, id))
			return i;
	}
	return NULL;
}

static void unlink_item(struct decoded *decoded, struct item *i)
{
	*(i->older ? &i->older->younger : &decoded->oldest) = i->younger;
	*(i->younger ? &i->younger->older : &decoded->youngest) = i->older;
}

static void link_youngest(struct decoded *decoded, struct item *i)
{
	i->older = decoded->youngest;
	i->younger = NULL;
	*(i->older ? &i->older->younger : &decoded->oldest) = i;
	decoded->youngest = i;
}

static void drop(struct decoded *decoded, struct item *i)
{
	unlink_item(decoded, i);
	table_remove(&decoded->by_id, &i->node);
	slice_done(&i->slice);
	free(i);
}

void decoded_clear(struct decoded *decoded)
{
	LOCK(&decoded->lock);
	while (decoded->oldest)
		drop(decoded, decoded->oldest);
}

/* Finds an item, which is the youngest from now on. */
static struct item *use(struct decoded *decoded, const struct entry_id *id, enum form form)
{
	struct item *i = find(decoded, id, form);
	if (i) {
		unlink_item(decoded, i);
		link_youngest(decoded, i);
	}
	return i;
}

bool decoded_get(struct decoded *decoded, const struct entry_id *id, enum form form, struct slice *ret)
{
	LOCK(&decoded->lock);
	struct item *i = use(decoded, id, form);
	if (i)
		slice_copy(&i->slice, ret);
	return i;
}

void decoded_touch(struct decoded *decoded, const struct entry_id *id, enum form form)
{
	LOCK(&decoded->lock);
	use(decoded, id, form);
}

bool decoded_has(struct decoded *decoded, const struct entry_id *id, enum form form)
{
	LOCK(&decoded->lock);
	return find(decoded, id, form);
}

void decoded_put(struct decoded *decoded, const struct entry_id *id, enum form form, const struct slice *slice)
{
	if (!storage_is_charged(slice->storage))
		return;
	struct item *i = calloc(1, sizeof *i);
	if (!i)
		return;
	i->id = *id;
	i->form = form;
	slice_copy(slice, &i->slice);
	LOCK(&decoded->lock);
	struct item *before = find(decoded, id, form);
	if (before)
		drop(decoded, before);
	table_add(&decoded->by_id, &i->node, hash_of(id, form));
	link_youngest(decoded, i);
}

void decoded_make_room(struct decoded *decoded, const struct spool *spool, uint64_t n)
{
	LOCK(&decoded->lock);
	for (struct item *i = decoded->oldest, *younger; i && !spool_fits(spool, n); i = younger) {
		younger = i->younger;
		if (!storage_is_shared(i->slice.storage))
			drop(decoded, i);
	}
}
