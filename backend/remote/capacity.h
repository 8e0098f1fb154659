/* How large a store is, for df: asked for at most once a second. Any thread may call. */
#ifndef CKFS_REMOTE_CAPACITY_H
#define CKFS_REMOTE_CAPACITY_H

#include <pthread.h>
#include <stdint.h>
#include <sys/statvfs.h>

/* Bytes. */
struct capacity {
	uint64_t used, max; /* max 0: nobody tells, which is a filesystem without a size */
};

struct known_capacity {
	pthread_mutex_t lock;
	/* protected by lock */
	int64_t until; /* monotonic ms: so long it holds */
	struct capacity capacity;
};

void capacity_init(struct known_capacity *known);
void capacity_done(struct known_capacity *known);

/* What is known, or what `ask` tells: 0, -errno. Not under a lock. */
int capacity_statfs(struct known_capacity *known, int (*ask)(void *arg, struct capacity *ret), void *arg, struct statvfs *ret);

#endif
