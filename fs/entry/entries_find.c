/* Finding an entry: in the backend, and then among the versions that others look at, which share one. */
#include "entry_private.h"

#include "steps.h"

#include "ckfs/clock.h"

#include <errno.h>

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
