/*
 * Where made content is kept: small in memory, larger in a memfd as long as cache_size allows,
 * else in an unnamed file of spool_dir.
 */
#ifndef CKFS_SPOOL_H
#define CKFS_SPOOL_H

#include "ckfs/slice.h"

#include <stdatomic.h>
#include <stdint.h>

/* Content up to this many bytes is plain memory. */
#define SPOOL_SMALL (64u << 10)

struct spool {
	const char *directory; /* borrowed */
	uint64_t memory_max;   /* bytes in memfds at one time */
	atomic_uint_least64_t memory_used;
};

/* One piece of content being written; one thread at a time. */
struct spool_writer {
	int fd;          /* -1: memory */
	uint8_t *memory; /* NULL: fd */
	uint64_t capacity, length;
	struct spool *charged; /* memory_used counts `capacity` of this */
};

/* Prepares for at most `capacity` bytes. 0; -ENOMEM; -ENOSPC, -EMFILE… from the file. */
int spool_begin(struct spool *spool, uint64_t capacity, struct spool_writer *ret);

/* Appends. 0; -ENOSPC; -EFBIG past the capacity. */
int spool_write(struct spool_writer *writer, const void *bytes, size_t n);

/* Starts over. 0, -errno. */
int spool_restart(struct spool_writer *writer);

/* Turns what was written into a slice. The writer is done either way. 0, -ENOMEM. */
int spool_end(struct spool_writer *writer, struct slice *ret);

/* Lets go of a writer that is not wanted; also after spool_end. */
void spool_abort(struct spool_writer *writer);

#endif
