#include "ckfs/stats.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct {
	const char *name, *type, *help;
	size_t offset;
} rows[] = {
#define ROW(member, name, type, help) {name, type, help, offsetof(struct stats, member)}
	ROW(lookups, "ckfs_lookups_total", "counter", "Names looked up."),
	ROW(getattrs, "ckfs_getattrs_total", "counter", "Attributes asked for."),
	ROW(opens, "ckfs_opens_total", "counter", "Files opened."),
	ROW(passthrough_opens, "ckfs_passthrough_opens_total", "counter", "Files opened that the kernel reads by itself (passthrough)."),
	ROW(stale_opens, "ckfs_stale_opens_total", "counter", "Opens sent back to look the name up again."),
	ROW(fills, "ckfs_fills_total", "counter", "Small files given to the page cache with their first open."),
	ROW(reads, "ckfs_reads_total", "counter", "Read requests that the page cache did not answer."),
	ROW(read_bytes, "ckfs_read_bytes_total", "counter", "Bytes read by them."),
	ROW(listed, "ckfs_listed_total", "counter", "Names listed."),
	ROW(getxattrs, "ckfs_getxattrs_total", "counter", "Extended attributes asked for."),
	ROW(stored, "ckfs_stored_total", "counter", "Values stored."),
	ROW(removed, "ckfs_removed_total", "counter", "Entries removed."),
	ROW(checks, "ckfs_checks_total", "counter", "Documents whose checksum was computed."),
	ROW(checked_bytes, "ckfs_checked_bytes_total", "counter", "Bytes hashed for that."),
	ROW(check_failures, "ckfs_check_failures_total", "counter", "Documents that failed their check."),
	ROW(decodes, "ckfs_decodes_total", "counter", "Documents decrypted, decompressed or rendered as JSON."),
	ROW(decoded_hits, "ckfs_decoded_hits_total", "counter", "Decoded content that was found kept, and not made again."),
	ROW(open_files, "ckfs_open_files", "gauge", "Files open now."),
	ROW(inodes, "ckfs_inodes", "gauge", "Inodes the kernel remembers."),
	ROW(entries, "ckfs_entries", "gauge", "Entry versions held open."),
	ROW(decoded_bytes, "ckfs_decoded_bytes", "gauge", "Bytes of decoded and fetched content kept in memory."),
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

static const int error_numbers[STATS_ERRORS] = {ENOENT, EUCLEAN, EBADMSG, ENOKEY, EFBIG, EOPNOTSUPP, ECONNREFUSED, ETIMEDOUT, EACCES, EPERM, EROFS, EINVAL, EAGAIN, EIO,
	ESTALE, EINTR, ENOSPC, ENOMEM, EMFILE};

static const char *const request_names[REQUEST_COUNT] = {
#define NAME(name) [REQUEST_##name] = #name,
	STATS_REQUESTS(NAME)
#undef NAME
};

static atomic_ullong connections[CONNECTION_COUNT];

static unsigned long long count_of(const atomic_ullong *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void stats_count_error(struct stats *stats, int error)
{
	unsigned i = 0;
	while (i < STATS_ERRORS - 1 && error_numbers[i] != error)
		i++;
	stats_add(stats, errors[i], 1);
}

void stats_count_connection(enum stats_connection what)
{
	atomic_fetch_add_explicit(&connections[what], 1, memory_order_relaxed);
}

/* The smallest i with ns <= 1000 * 4^i. */
static unsigned size_of_time(uint64_t ns)
{
	const uint64_t us = (ns + 999) / 1000;
	if (us <= 1)
		return 0;
	const unsigned i = (unsigned)(65 - __builtin_clzll(us - 1)) / 2;
	return i < STATS_TIMES ? i : STATS_TIMES;
}

static void note_time(struct histogram *histogram, int64_t ns)
{
	const uint64_t n = ns > 0 ? (uint64_t)ns : 0;
	stats_add(histogram, counts[size_of_time(n)], 1);
	stats_add(histogram, ns, n);
}

void stats_time_call(struct stats *stats, enum stats_call call, int64_t ns)
{
	note_time(&stats->call_times[call], ns);
}

void stats_time_request(struct stats *stats, enum stats_request request, int64_t ns)
{
	note_time(&stats->requests[request], ns);
}

/* --- as text --- */

static void write_head(const char *name, const char *type, const char *help, struct buf *buf)
{
	buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void stats_write_build(const char *version, const char *libfuse, const char *hiredis, struct buf *buf)
{
	static const char name[] = "ckfs_build_info";
	write_head(name, "gauge", "What this ckfs is made of.", buf);
	buf_printf(buf, "%s{version=\"%s\",libfuse=\"%s\",hiredis=\"%s\"} 1\n", name, version, libfuse, hiredis);
}

static void write_calls(const struct stats *stats, struct buf *buf)
{
	static const char name[] = "ckfs_backend_calls_total";
	write_head(name, "counter", "Calls of the backend, by operation and by what came of them.", buf);
	for (unsigned call = 0; call < CALL_COUNT; call++)
		for (unsigned result = 0; result < RESULT_COUNT; result++) {
			unsigned long long n = count_of(&stats->calls[call][result]);
			if (n > 0 || result == RESULT_OK)
				buf_printf(buf, "%s{operation=\"%s\",result=\"%s\"} %llu\n", name, call_names[call], result_names[result], n);
		}
}

static void write_errors(const struct stats *stats, struct buf *buf)
{
	static const char name[] = "ckfs_errors_total";
	write_head(name, "counter", "Requests that were answered with an error, by its name.", buf);
	for (unsigned i = 0; i < STATS_ERRORS; i++)
		buf_printf(buf, "%s{error=\"%s\"} %llu\n", name, i < STATS_ERRORS - 1 ? strerrorname_np(error_numbers[i]) : "other", count_of(&stats->errors[i]));
}

static void write_connections(struct buf *buf)
{
	static const char *const names[CONNECTION_COUNT][2] = {
		[CONNECTION_OPENED] = {"ckfs_connections_total", "Connections to servers that were opened."},
		[CONNECTION_REOPENED] = {"ckfs_reconnects_total", "Those of them in place of one that was lost, or after a try has failed."},
		[CONNECTION_REFUSED] = {"ckfs_connection_failures_total", "Tries to open one that have failed."},
	};
	for (unsigned i = 0; i < CONNECTION_COUNT; i++) {
		write_head(names[i][0], "counter", names[i][1], buf);
		buf_printf(buf, "%s %llu\n", names[i][0], count_of(&connections[i]));
	}
}

static void write_times(const char *name, const char *operation, const struct histogram *histogram, struct buf *buf)
{
	unsigned long long total = 0, counts[STATS_TIMES + 1];
	for (unsigned i = 0; i <= STATS_TIMES; i++)
		total += counts[i] = count_of(&histogram->counts[i]);
	if (total == 0)
		return;
	double most = 1e-6;
	unsigned long long so_far = 0;
	for (unsigned i = 0; i < STATS_TIMES; i++, most *= 4) {
		so_far += counts[i];
		buf_printf(buf, "%s_bucket{operation=\"%s\",le=\"%.9g\"} %llu\n", name, operation, most, so_far);
	}
	buf_printf(buf, "%s_bucket{operation=\"%s\",le=\"+Inf\"} %llu\n", name, operation, total);
	buf_printf(buf, "%s_sum{operation=\"%s\"} %.9f\n", name, operation, (double)count_of(&histogram->ns) / 1e9);
	buf_printf(buf, "%s_count{operation=\"%s\"} %llu\n", name, operation, total);
}

static void write_all_times(const struct stats *stats, struct buf *buf)
{
	static const char requests[] = "ckfs_request_duration_seconds", calls[] = "ckfs_backend_call_duration_seconds";
	write_head(requests, "histogram", "From when a request of the kernel was taken until it was answered, by operation.", buf);
	for (unsigned i = 0; i < REQUEST_COUNT; i++)
		write_times(requests, request_names[i], &stats->requests[i], buf);
	write_head(calls, "histogram", "What a call of a backend over a network takes, by operation.", buf);
	for (unsigned i = 0; i < CALL_COUNT; i++)
		write_times(calls, call_names[i], &stats->call_times[i], buf);
}

void stats_write(const struct stats *stats, struct buf *buf)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		/* Counters and gauges are the same size; all but gauges stay positive. */
		const void *at = (const char *)stats + rows[i].offset;
		long long value = atomic_load_explicit((const atomic_llong *)at, memory_order_relaxed);
		write_head(rows[i].name, rows[i].type, rows[i].help, buf);
		buf_printf(buf, "%s %lld\n", rows[i].name, value);
	}
	write_calls(stats, buf);
	write_errors(stats, buf);
	write_connections(buf);
	write_all_times(stats, buf);
}
