/* What a name of a view leads to. */
#ifndef CKFS_FUSE_LOOKUP_H
#define CKFS_FUSE_LOOKUP_H

#include "mount.h"

struct found {
	struct entry *entry; /* a reference */
	bool promised;       /* the value is whole, and is to be promised (retries.h) */
	bool recalled;       /* nobody was asked: entries_found_lately() */
	bool own;            /* it may be wanted for writing: it gets an inode of its own */
};

/* Finds the entry of a name, with or without the extension of the view. 0; -ENOENT; errors as of entries_find(). */
int find_name(struct mount *m, unsigned view_id, const char *name, const atomic_bool *cancel, struct found *ret);

#endif
