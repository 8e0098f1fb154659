/* Clocks. */
#ifndef CKFS_CLOCK_H
#define CKFS_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Monotonic milliseconds: time that only goes on. */
static inline int64_t clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The same in nanoseconds. */
static inline int64_t clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Unix seconds. time() may be a tick behind the clock that others read. */
static inline int64_t clock_unix(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec;
}

#endif
