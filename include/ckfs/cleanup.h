/* Owners that let go by themselves at the end of their scope. */
#ifndef CKFS_CLEANUP_H
#define CKFS_CLEANUP_H

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close_(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Older versions of clang warn of an owner that is not used otherwise. */
#define cleanup_with(fn) __attribute__((cleanup(fn), unused))
#define cleanup_free cleanup_with(cleanup_free_)
#define cleanup_close cleanup_with(cleanup_close_)

static inline pthread_mutex_t *lock_(pthread_mutex_t *lock)
{
	pthread_mutex_lock(lock);
	return lock;
}

static inline void cleanup_unlock_(pthread_mutex_t **lock)
{
	if (*lock)
		pthread_mutex_unlock(*lock);
}

/* Holds a lock until the end of the scope. */
#define LOCK(mutex) cleanup_with(cleanup_unlock_) pthread_mutex_t *held_lock_ = lock_(mutex)

/* Hands a pointer over: its owner forgets it. */
#define steal(p) \
	__extension__({ \
		__typeof__(p) stolen_ = (p); \
		(p) = NULL; \
		stolen_; \
	})

/* Hands a descriptor over: its owner forgets it. */
static inline int steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

#endif
