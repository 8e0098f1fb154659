/* Changes of what a key stores. */
#include "entry_private.h"

#include "ckfs/known_keys.h"

#include <errno.h>

int entries_put(struct entries *entries, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel,
	const char **ret_reason)
{
	int r = backend_put(entries->backend, key, value, lifetime, cancel);
	entries_changed(entries, &key->hash, false);
	if (r == 0) {
		stats_add(entries->stats, stored, 1);
		known_keys_add(entries->known, key);
	}
	if (r == -EOPNOTSUPP)
		*ret_reason = "values cannot be stored in this kind of store";
	if (r == -EINVAL)
		*ret_reason = "the store takes no such key, or no such expiry";
	return r;
}

int entries_remove(struct entry *entry, const atomic_bool *cancel)
{
	struct entries *entries = entry->entries;
	int r = backend_remove(entries->backend, &entry->key, cancel);
	entries_changed(entries, &entry->key.hash, r == 0);
	if (r == 0)
		stats_add(entries->stats, removed, 1);
	return r;
}
