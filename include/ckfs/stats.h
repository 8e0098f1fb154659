/* Counters of a mount, for .ckfs/stats. */
#ifndef CKFS_STATS_H
#define CKFS_STATS_H

#include "ckfs/buf.h"

#include <stdatomic.h>

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
	atomic_ullong errors;
	atomic_ullong checks;
	atomic_ullong checked_bytes;
	atomic_ullong check_failures;
	atomic_ullong decodes;
	atomic_llong open_files;
	atomic_llong inodes;
	atomic_llong entries;
	atomic_llong decoded_bytes;
	atomic_llong cache_size;
};

#define stats_add(stats, member, n) atomic_fetch_add_explicit(&(stats)->member, (n), memory_order_relaxed)

/* Prometheus text format. */
void stats_write(const struct stats *stats, struct buf *buf);

#endif
