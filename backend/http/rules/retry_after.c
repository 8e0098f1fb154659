#include "retry_after.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

static int64_t bounded(int64_t seconds)
{
	return seconds < 0 ? 0 : seconds > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : seconds;
}

/* Digits and nothing else. */
static bool read_seconds(const char *text, int64_t *ret)
{
	int64_t n = 0;
	size_t i = 0;
	for (; text[i] >= '0' && text[i] <= '9'; i++)
		n = bounded(n * 10 + (text[i] - '0'));
	*ret = n;
	return i > 0 && text[i + strspn(text + i, " \t")] == '\0';
}

/* Of now (RFC 9110, 5.6.7), of RFC 850, and of asctime(). */
static bool read_date(const char *text, int64_t *ret)
{
	static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		struct tm tm = {.tm_year = 0};
		const char *end = strptime(text, forms[i], &tm);
		if (end && end[strspn(end, " \t")] == '\0') {
			*ret = timegm(&tm);
			return true;
		}
	}
	return false;
}

int retry_after_read(const char *text, int64_t now, int64_t *ret_seconds)
{
	int64_t n;
	text += strspn(text, " \t");
	if (read_seconds(text, &n))
		*ret_seconds = n;
	else if (read_date(text, &n))
		*ret_seconds = n > now ? bounded(n - now) : 0;
	else
		return -EINVAL;
	return 0;
}
