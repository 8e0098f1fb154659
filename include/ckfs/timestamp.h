/* Times as text. */
#ifndef CKFS_TIMESTAMP_H
#define CKFS_TIMESTAMP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define TIMESTAMP_SIZE 32

/* Whether an expiry, unix seconds, is told as "never": it is 0, or past the year 9999, which RFC 3339 cannot write. */
static inline bool timestamp_is_never(int64_t expires)
{
	return expires == 0 || expires > INT64_C(253402300799);
}

/* An expiry: RFC 3339 in UTC, or "never". */
static inline void timestamp_from_expiry(int64_t expires, char ret[TIMESTAMP_SIZE])
{
	struct tm tm;
	time_t t = (time_t)expires;
	if (timestamp_is_never(expires) || !gmtime_r(&t, &tm))
		snprintf(ret, TIMESTAMP_SIZE, "never");
	else
		strftime(ret, TIMESTAMP_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* The same backwards, with any offset from UTC. Fractions of a second are dropped. False, and *ret as it was: it is no such text. */
bool timestamp_to_expiry(const char *text, int64_t *ret);

#endif
