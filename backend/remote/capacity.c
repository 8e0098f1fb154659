#include "capacity.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <limits.h>
#include <stdbool.h>

/* What is remembered of it, in milliseconds. */
#define CAPACITY_MS 1000

#define BLOCK 4096

void capacity_init(struct known_capacity *known)
{
	*known = (struct known_capacity){.until = 0};
	pthread_mutex_init(&known->lock, NULL);
}

void capacity_done(struct known_capacity *known)
{
	pthread_mutex_destroy(&known->lock);
}

static bool recall(struct known_capacity *known, struct capacity *ret)
{
	LOCK(&known->lock);
	*ret = known->capacity;
	return clock_ms() < known->until;
}

static void remember(struct known_capacity *known, const struct capacity *capacity)
{
	LOCK(&known->lock);
	known->capacity = *capacity;
	known->until = clock_ms() + CAPACITY_MS;
}

int capacity_statfs(struct known_capacity *known, int (*ask)(void *arg, struct capacity *ret), void *arg, struct statvfs *ret)
{
	struct capacity capacity;
	if (!recall(known, &capacity)) {
		int r = ask(arg, &capacity);
		if (r < 0)
			return r;
		remember(known, &capacity);
	}
	const uint64_t left = capacity.max > capacity.used ? capacity.max - capacity.used : 0;
	*ret = (struct statvfs){
		.f_bsize = BLOCK,
		.f_frsize = BLOCK,
		.f_blocks = (left + capacity.used) / BLOCK,
		.f_bfree = left / BLOCK,
		.f_bavail = left / BLOCK,
		.f_namemax = NAME_MAX,
	};
	return 0;
}
