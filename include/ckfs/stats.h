/* Counters of a mount, for .ckfs/stats. */
#ifndef CKFS_STATS_H
#define CKFS_STATS_H

#include "ckfs/buf.h"

#include <stdatomic.h>
#include <stdint.h>

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

/* What the kernel asks for. */
#define STATS_REQUESTS(row) \
	row(lookup) row(getattr) row(open) row(read) row(release) row(getxattr) row(listxattr) row(statfs) \
	row(opendir) row(readdir) row(readdirplus) row(releasedir) \
	row(create) row(write) row(flush) row(fsync) row(unlink) row(setattr) row(setxattr) row(removexattr) \
	row(rename) row(rmdir) row(mkdir) row(mknod) row(symlink) row(link)

enum stats_request {
#define STATS_REQUEST(name) REQUEST_##name,
	STATS_REQUESTS(STATS_REQUEST)
#undef STATS_REQUEST
	REQUEST_COUNT,
};

/* Errors that are counted by their names; the last one stands for all others. */
#define STATS_ERRORS 20

/* Times by their size: up to 1 µs, 4 µs, 16 µs... 67 s, and longer. */
#define STATS_TIMES 14

struct histogram {
	atomic_ullong counts[STATS_TIMES + 1];
	atomic_ullong ns; /* of all */
};

/* What becomes of connections to servers. */
enum stats_connection {
	CONNECTION_OPENED,
	CONNECTION_REOPENED, /* one of those, in place of one that was lost or may not be used any more, or after a try has failed */
	CONNECTION_REFUSED,  /* a try has failed */
	CONNECTION_COUNT,
};

struct stats {
	atomic_ullong lookups;
	atomic_ullong getattrs;
	atomic_ullong opens;
	atomic_ullong passthrough_opens;
	atomic_ullong stale_opens;
	atomic_ullong fills;
	atomic_ullong reads;
	atomic_ullong read_bytes;
	atomic_ullong listed;
	atomic_ullong getxattrs;
	atomic_ullong stored;
	atomic_ullong removed;
	atomic_ullong errors[STATS_ERRORS];
	atomic_ullong checks;
	atomic_ullong checked_bytes;
	atomic_ullong check_failures;
	atomic_ullong decodes;
	atomic_ullong decoded_hits;
	struct histogram requests[REQUEST_COUNT];
	struct histogram call_times[CALL_COUNT];
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

/* The same of how long one took, where that is measured. */
void stats_time_call(struct stats *stats, enum stats_call call, int64_t ns);

/* Counts a request that was answered after `ns`. */
void stats_time_request(struct stats *stats, enum stats_request request, int64_t ns);

/* Counts an answer that is an error (positive). */
void stats_count_error(struct stats *stats, int error);

/* Counts what has become of a connection. What has connections knows no mount: these counters are the process's. */
void stats_count_connection(enum stats_connection what);

/* Versions, as Prometheus has them: a value of 1 with labels. They are put in front of all else. */
void stats_write_build(const char *version, const char *libfuse, const char *hiredis, struct buf *buf);

/* Prometheus text format. A result that has not occurred yet is left out, but for success; so are the times of what was never asked for. */
void stats_write(const struct stats *stats, struct buf *buf);

#endif
