#include "ckfs/stats.h"

#include <errno.h>
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
	ROW(stored, "ckfs_stored_total", "counter", "Values stored."),
	ROW(removed, "ckfs_removed_total", "counter", "Entries removed."),
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

static const char *const call_names[CALL_COUNT] = {
	[CALL_FIND] = "find",
	[CALL_RESOLVE] = "resolve",
	[CALL_FETCH] = "fetch",
	[CALL_EXPIRES] = "expires",
	[CALL_LIST] = "list",
	[CALL_NEXT] = "next",
	[CALL_CHANGED] = "changed",
	[CALL_STATFS] = "statfs",
	[CALL_PUT] = "put",
	[CALL_REMOVE] = "remove",
	[CALL_EXPIRE] = "expire",
};

static const char *const result_names[RESULT_COUNT] = {
	[RESULT_OK] = "ok",
	[RESULT_ABSENT] = "absent",
	[RESULT_CHANGED] = "changed",
	[RESULT_INTERRUPTED] = "interrupted",
	[RESULT_DENIED] = "denied",
	[RESULT_BUSY] = "busy",
	[RESULT_TIMEOUT] = "timeout",
	[RESULT_UNREACHABLE] = "unreachable",
	[RESULT_LACK] = "lack",
	[RESULT_FAILED] = "failed",
};

const char *stats_call_name(enum stats_call call)
{
	return call_names[call];
}

static enum stats_result result_of(int r)
{
	switch (r < 0 ? -r : 0) {
	case 0:
		return RESULT_OK;
	case ENOENT:
		return RESULT_ABSENT;
	case ESTALE:
		return RESULT_CHANGED;
	case EINTR:
		return RESULT_INTERRUPTED;
	case EACCES:
	case EPERM:
		return RESULT_DENIED;
	case EAGAIN:
		return RESULT_BUSY;
	case ETIMEDOUT:
		return RESULT_TIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENOTCONN:
	case EPIPE:
		return RESULT_UNREACHABLE;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOSPC:
		return RESULT_LACK;
	default:
		return RESULT_FAILED;
	}
}

void stats_count_call(struct stats *stats, enum stats_call call, int r)
{
	stats_add(stats, calls[call][result_of(r)], 1);
}

static void write_calls(const struct stats *stats, struct buf *buf)
{
	static const char name[] = "ckfs_backend_calls_total";
	buf_printf(buf, "# HELP %s Calls of the backend, by operation and by what came of them.\n# TYPE %s counter\n", name, name);
	for (unsigned call = 0; call < CALL_COUNT; call++)
		for (unsigned result = 0; result < RESULT_COUNT; result++) {
			unsigned long long n = atomic_load_explicit(&stats->calls[call][result], memory_order_relaxed);
			if (n > 0 || result == RESULT_OK)
				buf_printf(buf, "%s{operation=\"%s\",result=\"%s\"} %llu\n", name, call_names[call], result_names[result], n);
		}
}

void stats_write(const struct stats *stats, struct buf *buf)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		/* Counters and gauges are the same size; all but gauges stay positive. */
		const void *at = (const char *)stats + rows[i].offset;
		long long value = atomic_load_explicit((const atomic_llong *)at, memory_order_relaxed);
		buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", rows[i].name, rows[i].help, rows[i].name, rows[i].type,
			rows[i].name, value);
	}	write_calls(stats, buf);
}
