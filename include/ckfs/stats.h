/* Counters of a mount, for .ckfs/stats. */
#ifndef CKFS_STATS_H
#define CKFS_STATS_H

#include "ckfs/buf.h"

#include <stdatomic.h>

/* Operations of a backend. */
enum stats_call {
	CALL_FIND,
	CALL_RESOLVE,
	CALL_FETCH,
	CALL_EXPIRES,
	CALL_LIST,
	CALL_NEXT,
	CALL_CHANGED,
	CALL_STATFS,
	CALL_PUT,
	CALL_REMOVE,
	CALL_EXPIRE,
	CALL_COUNT,
};

/* What comes of them. */
enum stats_result {
	RESULT_OK,
	RESULT_ABSENT,      /* ENOENT */
	RESULT_CHANGED,     /* ESTALE: what was asked about is no more */
	RESULT_INTERRUPTED, /* EINTR: nobody waits any more */
	RESULT_DENIED,      /* EACCES, EPERM */
	RESULT_BUSY,        /* EAGAIN */
	RESULT_TIMEOUT,     /* ETIMEDOUT */
	RESULT_UNREACHABLE, /* ECONNREFUSED and the like: a server, or its connection */
	RESULT_LACK,        /* ENOMEM, EMFILE, ENOSPC: of ckfs itself */
	RESULT_FAILED,      /* all else */
	RESULT_COUNT,
};

struct stats {
	atomic_ullong lookups;
	atomic_ullong getattrs;
	atomic_ullong opens;
	atomic_ullong stale_opens;
	atomic_ullong fills;
	atomic_ullong reads;
	atomic_ullong read_bytes;
	atomic_ullong listed;
	atomic_ullong getxattrs;
	atomic_ullong stored;
	atomic_ullong removed;
	atomic_ullong errors;
	atomic_ullong checks;
	atomic_ullong checked_bytes;
	atomic_ullong check_failures;
	atomic_ullong decodes;
	atomic_ullong calls[CALL_COUNT][RESULT_COUNT];
	atomic_llong open_files;
	atomic_llong inodes;
	atomic_llong entries;
	atomic_llong decoded_bytes;
	atomic_llong cache_size;
};

#define stats_add(stats, member, n) atomic_fetch_add_explicit(&(stats)->member, (n), memory_order_relaxed)

/* How an operation is called, in counters and traces. */
const char *stats_call_name(enum stats_call call);

/* Counts a call that has ended with r: 0 or more, or -errno. */
void stats_count_call(struct stats *stats, enum stats_call call, int r);

/* Prometheus text format. A result that has not occurred yet is left out, but for success. */
void stats_write(const struct stats *stats, struct buf *buf);

#endif
