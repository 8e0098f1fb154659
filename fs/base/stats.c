#include "ckfs/stats.h"

#include <stddef.h>

static const struct {
	const char *name, *type, *help;
	size_t offset;
} rows[] = {
#define ROW(member, name, type, help) {name, type, help, offsetof(struct stats, member)}
	ROW(lookups, "ckfs_lookups_total", "counter", "Names looked up."),
	ROW(getattrs, "ckfs_getattrs_total", "counter", "Attributes asked for."),
	ROW(opens, "ckfs_opens_total", "counter", "Files opened."),
	ROW(stale_opens, "ckfs_stale_opens_total", "counter", "Opens sent back to look the name up again."),
	ROW(fills, "ckfs_fills_total", "counter", "Small files given to the page cache with their first open."),
	ROW(reads, "ckfs_reads_total", "counter", "Read requests that the page cache did not answer."),
	ROW(read_bytes, "ckfs_read_bytes_total", "counter", "Bytes read by them."),
	ROW(listed, "ckfs_listed_total", "counter", "Names listed."),
	ROW(getxattrs, "ckfs_getxattrs_total", "counter", "Extended attributes asked for."),
	ROW(errors, "ckfs_errors_total", "counter", "Requests on entries that failed."),
	ROW(checks, "ckfs_checks_total", "counter", "Documents whose checksum was computed."),
	ROW(checked_bytes, "ckfs_checked_bytes_total", "counter", "Bytes hashed for that."),
	ROW(check_failures, "ckfs_check_failures_total", "counter", "Documents that failed their check."),
	ROW(decodes, "ckfs_decodes_total", "counter", "Documents decrypted, decompressed or rendered as JSON."),
	ROW(open_files, "ckfs_open_files", "gauge", "Files open now."),
	ROW(inodes, "ckfs_inodes", "gauge", "Inodes the kernel remembers."),
	ROW(entries, "ckfs_entries", "gauge", "Entry versions held open."),
	ROW(decoded_bytes, "ckfs_decoded_bytes", "gauge", "Bytes of decoded content in memory."),
	ROW(cache_size, "ckfs_cache_size_bytes", "gauge", "Bytes of decoded content that may be kept (cache_size)."),
#undef ROW
};

void stats_write(const struct stats *stats, struct buf *buf)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		/* Counters and gauges are the same size; all but gauges stay positive. */
		const void *at = (const char *)stats + rows[i].offset;
		long long value = atomic_load_explicit((const atomic_llong *)at, memory_order_relaxed);
		buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", rows[i].name, rows[i].help, rows[i].name, rows[i].type,
			rows[i].name, value);
	}
}
