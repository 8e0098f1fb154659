/* A value that is being collected, to be stored: where the backend can take it over as it lies, else in the spool. */
#ifndef CKFS_COLLECTED_H
#define CKFS_COLLECTED_H

#include "ckfs/entry.h"

struct collected {
	struct entries *entries;     /* borrowed */
	uint64_t filled;             /* so many bytes are there */
	struct collecting file;      /* where they are; fd -1: not in a file of the backend */
	uint64_t sent;               /* of that file, by its own offsets: up to here it is on its way to the disk */
	struct spool_writer spooled; /* … but here; all zero: nowhere yet */
};

void collected_init(struct entries *entries, struct collected *ret);

/* Lets go of all that is there. */
void collected_drop(struct collected *collected);

/* Whether it lies in a file of the backend: what that lacks is not the spool's. */
bool collected_is_in_file(const struct collected *collected);

/*
 * Puts n bytes at a place up to the end of those that are there; NULL: zeros, which need not be written in a file. `size`: how many there will be, as far as anybody
 * knows. 0; -ENOSPC and others as of spool_begin().
 */
int collected_put(struct collected *collected, const void *bytes, size_t n, uint64_t at, uint64_t size);

/* Drops what is behind a length. 0, -errno. */
int collected_cut(struct collected *collected, uint64_t length);

/* n bytes of those that are there. 0, -errno. */
int collected_read(const struct collected *collected, uint64_t at, void *to, size_t n);

/* All of it as a value, of `length` bytes. What lies in a file can be written on; what lies in the spool is the slice's alone, and nothing is there any more. 0, -errno. */
int collected_value(struct collected *collected, uint64_t length, struct slice *ret);

#endif
