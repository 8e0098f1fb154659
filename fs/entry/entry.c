/* One entry: how long it lives, and when it expires. */
#include "entry_private.h"

#include <errno.h>

int entry_new(struct entries *entries, struct key *key, struct stored *stored, struct entry **ret)
{
	struct entry *e = calloc(1, sizeof *e);
	if (!e)
		return -ENOMEM;
	e->entries = entries;
	e->id = entry_id_of_key(entries, key, &stored->version);
	e->expires = stored->expires;
	e->stale = stored->stale;
	e->key = key_steal(key);
	e->stored = stored_steal(stored);
	e->refs = 1;
	pthread_mutex_init(&e->lock, NULL);
	stats_add(entries->stats, entries, 1);
	if (storage_is_whole(e->stored.value.storage))
		e->have = HAVE_WHOLE;
	*ret = e;
	return 0;
}

static void entry_free(struct entry *entry)
{
	struct stats *stats = entry->entries->stats;
	for (unsigned i = 0; i < RENDERING_COUNT; i++)
		slice_done(&entry->renderings[i].content);
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

struct entry *entry_ref(struct entry *entry)
{
	LOCK(&entry->entries->lock);
	entry->refs++;
	return entry;
}

/* Whether that was the last reference: nobody finds the entry any more. */
static bool drop_ref(struct entry *entry)
{
	struct entries *entries = entry->entries;
	LOCK(&entries->lock);
	bool last = --entry->refs == 0;
	if (last && entry->shared)
		table_remove(&entries->held, &entry->node);
	return last;
}

void entry_unref(struct entry *entry)
{
	if (entry && drop_ref(entry))
		entry_free(entry);
}

uint64_t entries_next_ask(struct entries *entries)
{
	return atomic_fetch_add(&entries->asks, 1) + 1;
}

void entry_note_expiry(struct entry *entry, uint64_t ask, int64_t expires)
{
	LOCK(&entry->entries->lock);
	if (ask > entry->expires_ask) {
		entry->expires = expires;
		entry->expires_ask = ask;
	}
}

void entry_note_found(struct entry *entry, uint64_t ask, const struct stored *stored)
{
	/* Where that is a question of its own, what was answered before is the last there is to know. */
	if (stored->expires != EXPIRES_UNKNOWN)
		entry_note_expiry(entry, ask, stored->expires);
	LOCK(&entry->entries->lock);
	entry->stale = stored->stale;
}

bool entry_is_stale(struct entry *entry)
{
	LOCK(&entry->entries->lock);
	return entry->stale;
}

int64_t entry_expires(struct entry *entry)
{
	LOCK(&entry->entries->lock);
	return entry->expires;
}

int entry_ask_expires(struct entry *entry)
{
	struct entries *entries = entry->entries;
	uint64_t ask = entries_next_ask(entries);
	int64_t expires;
	int r = backend_expires(entries->backend, &entry->key, &entry->stored, &expires);
	if (r == 0)
		entry_note_expiry(entry, ask, expires);
	return r == -ESTALE ? 0 : r;
}
