#include "ckfs/timestamp.h"

#include <string.h>

static bool take_digit(const char **text, int *number)
{
	if (**text < '0' || **text > '9')
		return false;
	*number = *number * 10 + (*(*text)++ - '0');
	return true;
}

/* A number of so many digits. */
static bool take(const char **text, unsigned digits, int *ret)
{
	*ret = 0;
	while (digits > 0 && take_digit(text, ret))
		digits--;
	return digits == 0;
}

/* One of these characters. */
static bool take_one_of(const char **text, const char *characters)
{
	if (!**text || !strchr(characters, **text))
		return false;
	(*text)++;
	return true;
}

static bool take_fraction(const char **text)
{
	int ignored = 0;
	if (!take_one_of(text, "."))
		return true;
	if (!take_digit(text, &ignored))
		return false;
	while (**text >= '0' && **text <= '9')
		(*text)++;
	return true;
}

static bool take_offset(const char **text, int *ret_seconds)
{
	int hours = 0, minutes = 0;
	const int sign = **text == '-' ? -1 : 1;
	if (!take_one_of(text, "Zz") && !(take_one_of(text, "+-") && take(text, 2, &hours) && take_one_of(text, ":") && take(text, 2, &minutes)))
		return false;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return hours <= 23 && minutes <= 59;
}

bool timestamp_to_expiry(const char *text, int64_t *ret)
{
	struct tm tm = {.tm_isdst = 0};
	int year, month, day, second, offset;
	if (!(take(&text, 4, &year) && take_one_of(&text, "-") && take(&text, 2, &month) && take_one_of(&text, "-") && take(&text, 2, &day) && take_one_of(&text, "Tt ")))
		return false;
	if (!(take(&text, 2, &tm.tm_hour) && take_one_of(&text, ":") && take(&text, 2, &tm.tm_min) && take_one_of(&text, ":") && take(&text, 2, &second)))
		return false;
	if (!take_fraction(&text) || !take_offset(&text, &offset) || *text)
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	if (month < 1 || month > 12 || tm.tm_hour > 23 || tm.tm_min > 59 || second > 60)
		return false;
	int64_t minute = (int64_t)timegm(&tm);
	/* A day that its month does not have has become one of the next month. */
	if (tm.tm_mday != day)
		return false;
	*ret = minute + second - offset;
	return true;
}
