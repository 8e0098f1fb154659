/* Listings of Redis keys: operations of the backend (ckfs/backend.h). */
#ifndef CKFS_REDIS_LISTING_H
#define CKFS_REDIS_LISTING_H

#include "ckfs/backend.h"

int redis_list(struct backend *backend, struct cursor **ret);
int redis_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret);
void redis_list_end(struct cursor *cursor);

#endif
