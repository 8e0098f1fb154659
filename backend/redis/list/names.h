/*
 * The names of one page of SCAN, one behind the other, in the spool. A server says how many there are, and may say anything: they take
 * what came over the wire and no more, and only some of them at a time are keys of which more is known.
 */
#ifndef CKFS_REDIS_NAMES_H
#define CKFS_REDIS_NAMES_H

#include "backend/redis/wire/connection.h"

#include "ckfs/spool.h"

/* Bytes of the names of a page; also the longest name that can be listed. */
#define NAMES_BYTES_MAX (UINT64_C(512) << 20)

struct names {
	struct spool *spool; /* borrowed */
	bool begun;
	struct spool_writer text; /* if begun: of each name its length and its bytes */
	uint64_t at;              /* of the next one */
};

/*
 * Reads an array of names, behind those that there are. Nil is none. 0; -EIO they are more than NAMES_BYTES_MAX; errors of the spool and
 * of the transport.
 */
int names_read(struct names *names, struct redis_connection *connection);

/* The next one, until names are read or dropped. False: there are no more. */
bool names_next(struct names *names, const char **ret, size_t *ret_length);

/* Whether there are no more. */
bool names_are_taken(const struct names *names);

/* Forgets them. The memory stays, for the next page. */
void names_drop(struct names *names);

void names_done(struct names *names);

#endif
