/* What was read of a dump before its reader wanted it, in the spool: lines, of which the last may be a part. One thread at a time. */
#ifndef CKFS_MEMCACHED_REST_H
#define CKFS_MEMCACHED_REST_H

#include "backend/remote/stream.h"

#include "ckfs/spool.h"

struct rest {
	bool has; /* else there is nothing, and no writer */
	struct spool_writer text;
	uint64_t at; /* what was taken */
};

/* Moves what has arrived, at most so many bytes, behind what there is. 0, -errno of the spool. */
int rest_put(struct rest *rest, struct spool *spool, struct stream *stream, size_t most);

/*
 * The next line, without its LF, until the next call; the end of the last one may be still to come, as stream_fill_unless(). 1; 0 there is nothing any
 * more; -EIO it has no end; -errno.
 */
int rest_line(struct rest *rest, struct spool *spool, struct stream *stream, const atomic_bool *cancel, const char **ret, size_t *ret_length);

void rest_drop(struct rest *rest);

#endif
