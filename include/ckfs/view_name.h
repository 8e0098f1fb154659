/* Names of files in a view: how an entry is listed, and what a name leads to. */
#ifndef CKFS_VIEW_NAME_H
#define CKFS_VIEW_NAME_H

#include "ckfs/name.h"
#include "ckfs/view.h"

/* A name with its extension. */
#define VIEW_NAME_MAX (NAME_BYTES_MAX + 16)

/*
 * The name an entry is listed by: its key where that is known, else the hash. A key that reads like a hash is listed
 * by its own where names may be hashes: it could mean another entry. False when it has none, or -o match hides it.
 */
bool view_list_name(const struct view *view, const struct entries *entries, const struct key *key, char ret[VIEW_NAME_MAX]);

/* Finds what a key has. As of entries_find(). */
typedef int view_finder(void *arg, const struct key *key, const atomic_bool *cancel, struct entry **ret);

/*
 * The entry of a name: without the extension of the view first, then as it stands. The name may be a hash, where only hashes are stored and there is such
 * an entry; else it is a key. 0; -ENOENT; errors as of `find`; -ENOMEM.
 */
int view_find_name(const struct view *view, const struct entries *entries, const char *name, view_finder *find, void *arg, const atomic_bool *cancel,
	struct entry **ret);

/* The key of a name that nobody has stored. 0; -EINVAL no key is spelt so; -EPERM a name that tells a hash, and not the key; -ENOMEM. */
int view_key_to_create(const struct entries *entries, const char *name, struct key *ret);

#endif
