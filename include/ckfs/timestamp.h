/* Times as text. */
#ifndef CKFS_TIMESTAMP_H
#define CKFS_TIMESTAMP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define TIMESTAMP_SIZE 32

/* An expiry, unix seconds: RFC 3339 in UTC, or "never" for 0 and for years that it cannot write. */
static inline void timestamp_from_expiry(int64_t expires, char ret[TIMESTAMP_SIZE])
{
	struct tm tm;
	time_t t = (time_t)expires;
	if (expires == 0 || expires > INT64_C(253402300799) || !gmtime_r(&t, &tm))
		snprintf(ret, TIMESTAMP_SIZE, "never");
	else
		strftime(ret, TIMESTAMP_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* The same backwards, with any offset from UTC. Fractions of a second are dropped. False: it is no such text. */
static inline bool timestamp_to_expiry(const char *text, int64_t *ret)
{
	struct tm tm = {.tm_isdst = 0};
	int hours = 0, minutes = 0, n = 0;
	char sign[2] = "+";
	if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &n) != 6 || n != 19)
		return false;
	text += n;
	if (*text == '.')
		do
			text++;
		while (*text >= '0' && *text <= '9');
	bool utc = (*text == 'Z' || *text == 'z') && !text[1];
	n = 0;
	if (!utc && (sscanf(text, "%1[+-]%2d:%2d%n", sign, &hours, &minutes, &n) != 3 || n != 6 || text[n]))
		return false;
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60 || hours > 23 || minutes > 59)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	*ret = (int64_t)timegm(&tm) - (*sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

#endif
