/* What ckfs itself lacks (ckfs/lack.h), in the log of a mount: it names what is missing when that begins, and nothing else remembers it. */
#ifndef CKFS_FUSE_LACKS_H
#define CKFS_FUSE_LACKS_H

#include "ckfs/lack.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct mount;

/* LACK_OF_LIBFUSE: what it has to say of its own threads and descriptors, again and again. */
enum { LACK_OF_LIBFUSE = LACK_KINDS, LACKS };

struct lack {
	int error; /* 0: it was never met */
	unsigned number;
	int64_t met;    /* monotonic ms */
	int64_t minute; /* when that of `lines` began */
	unsigned lines; /* that were logged within it */
};

struct lacks {
	pthread_mutex_t lock;
	struct lack last[LACKS]; /* protected by lock */
};

/*
 * Whether to log a lack: it begins just now, and does not come and go all the time. Another error, or another number (of the spool: how often it
 * was lost), is another lack.
 */
bool lack_begins(struct lacks *lacks, unsigned kind, int error, unsigned number);

/* The errno to answer with for r. Logs a lack that begins. */
int lack_tell(struct mount *m, int r);

#endif
