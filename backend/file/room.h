/*
 * How much the directory may hold. The SDK evicts when more than 90 % of its limits are used, and at the limit of entries it stores nothing new any
 * more: what ckfs stores never takes the directory beyond the 90 %.
 *
 * The limits are the SDK's, by its variables of the environment: CACHEKIT_FILE_MAX_SIZE_MB, CACHEKIT_FILE_MAX_VALUE_MB, CACHEKIT_FILE_MAX_ENTRY_COUNT.
 * What others store is counted by reading the directory, before an entry is stored, but for no more than a twentieth of the time; and before one is refused.
 */
#ifndef CKFS_FILE_ROOM_H
#define CKFS_FILE_ROOM_H

#include "ckfs/error.h"

#include <pthread.h>
#include <stdint.h>

struct file_room {
	/* constant */
	uint64_t value_max;             /* bytes of a value */
	uint64_t bytes_max, count_max;  /* 90 % of what there may be, headers included */
	pthread_mutex_t lock;
	/* protected by lock */
	uint64_t bytes, count;          /* what there is, and what was taken for entries that are being stored */
	int64_t counted_at, good_until; /* monotonic ns: when that was last counted, and until when that is relied on; 0: never */
};

/* Reads the limits. 0; -EINVAL with the error set. */
int file_room_init(struct file_room *room, struct error *error);
void file_room_done(struct file_room *room);

/*
 * Takes room for an entry file of so many bytes in the place of one of `before` (-1: of none) in a directory. What grows nothing always has room.
 * 0, file_room_give() undoes it; -ENOSPC; -errno.
 */
int file_room_take(struct file_room *room, int directory, uint64_t size, int64_t before);
void file_room_give(struct file_room *room, uint64_t size, int64_t before);

#endif
