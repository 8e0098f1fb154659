/* Listings of Memcached keys: operations of the backend (ckfs/backend.h). */
#ifndef CKFS_MEMCACHED_LISTING_H
#define CKFS_MEMCACHED_LISTING_H

#include "dumps.h"

#include "ckfs/backend.h"

int mc_list(struct backend *backend, struct cursor **ret);
int mc_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret);
void mc_list_end(struct cursor *cursor);

#endif
