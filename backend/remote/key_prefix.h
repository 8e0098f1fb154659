/* What stands before the text of every key where it is stored: -o tenant= and -o prefix=, in `struct backend`. */
#ifndef CKFS_REMOTE_KEY_PREFIX_H
#define CKFS_REMOTE_KEY_PREFIX_H

#include "ckfs/backend.h"

/* Sets the backend's prefix: the tenant's part, as the SDK makes it, then what the user names; "" if there is neither. 0, -ENOMEM. */
int key_prefix_make(const struct options *options, struct backend *backend);

/* The prefix as a glob that nothing else matches, and what may follow. From malloc; NULL: no memory. */
char *key_prefix_glob(const struct backend *backend);

/* A key's name as it is stored, with the prefix; no NUL follows. From malloc; NULL: no memory. */
char *key_prefix_put(const struct backend *backend, const struct key *key, size_t *ret_length);

/* The key of a name as it is stored, without the prefix. 1; 0 it is of another prefix, or nothing follows; -ENOMEM. */
int key_prefix_cut(const struct backend *backend, const char *name, size_t n, struct key *ret);

#endif
