/*
 * What a Redis server answers, one head at a time: RESP2, and of RESP3 what a connection meets that hears of changes.
 *
 *   +text CR LF                     a status
 *   -WORD text CR LF                an error
 *   :number CR LF                   an integer
 *   $length CR LF bytes CR LF       a string; the head is all before its bytes
 *   *count CR LF reply…             an array; the head is all before its elements
 *   $-1 CR LF                       no string
 *   *-1 CR LF, _ CR LF              no array, or nothing
 *   %count CR LF (key value)…       a map: here an array of twice as many elements
 *   >count CR LF reply…             an array that nobody has asked for (push)
 *
 * Whatever else comes is a garbled reply.
 */
#ifndef CKFS_REDIS_REPLY_H
#define CKFS_REDIS_REPLY_H

#include "ckfs/bytes.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

/* A head is no longer than this, its CR LF included. */
#define REPLY_HEAD_MAX 4096

/* No string is longer, whatever the server was configured to take. */
#define REPLY_STRING_MAX (INT64_C(1) << 40)

/* No array has more elements. */
#define REPLY_ARRAY_MAX (INT64_C(1) << 32)

/* Of a value only REPLY_NIL says that there is none: no server tells REPLY_NOTHING of one by RESP2. */
enum reply_kind { REPLY_STATUS, REPLY_ERROR, REPLY_INTEGER, REPLY_STRING, REPLY_ARRAY, REPLY_PUSH, REPLY_NIL, REPLY_NOTHING };

struct reply {
	enum reply_kind kind;
	int64_t number;    /* the integer; bytes of the string; elements of the array or push; else 0 */
	struct bytes text; /* of a status or an error, without its first character; borrowed */
};

/* Reads the head that n bytes begin with. The bytes it takes (> 0); 0: there must be more of it; -EIO garbled. */
int reply_read(const void *bytes, size_t n, struct reply *ret);

/* What a server of a cluster says of keys that are not its own: they are another's, or may be there already. */
#define REPLY_MOVED (-EREMCHG)
#define REPLY_ASK (-EREMOTE)

/* What one says that has no memory left (maxmemory). The spool has its own errno for a disk that is full. */
#define REPLY_FULL (-EDQUOT)

/* What one says to changes, and to a PING, that cannot save what it has, or has too few replicas. It serves readers all the same. */
#define REPLY_READERS_ONLY (-ENOLINK)

/*
 * What an error means: -EACCES; -EAGAIN the server cannot answer now; REPLY_FULL, REPLY_READERS_ONLY, -EROFS it takes no change; -EPROTOTYPE the key is of
 * another type; -ENOSYS no such command, or not with these words; REPLY_MOVED, REPLY_ASK; else -EIO. Never -ENOENT.
 */
int reply_errno(const struct bytes *text);

#endif
