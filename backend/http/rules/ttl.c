#include "ttl.h"

#include "ckfs/json_scan.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char name[] = "ttl";

struct reading {
	const char *text;
	size_t at;      /* of the text: what is being read */
	size_t matched; /* bytes of the member's name that are those of `name`; more: it is another one */
	bool is_it;     /* the value that comes is that of `name` */
	size_t begun;   /* of the text: behind the name */
	int64_t ttl;
	bool found;
};

/* The digits between the name and where the reader is: a number has ended there. -EUCLEAN: it is no whole one. */
static int take_number(struct reading *reading)
{
	const char *p = reading->text + reading->begun, *end = reading->text + reading->at;
	int64_t n = 0;
	while (p < end && (*p < '0' || *p > '9')) {
		if (*p == '-')
			return -EUCLEAN;
		p++;
	}
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (*p - '0');
		if (n > TTL_MAX)
			return -EUCLEAN;
	}
	if (p < end && memchr(".eE", *p, 3))
		return -EUCLEAN;
	reading->ttl = n;
	reading->found = true;
	return 0;
}

static void match(struct reading *reading, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++, reading->matched++)
		if (reading->matched >= sizeof name - 1 || bytes[i] != (uint8_t)name[reading->matched])
			reading->matched = sizeof name;
}

static int on_event(void *arg, enum json_event event, unsigned level, const uint8_t *bytes, size_t n)
{
	struct reading *reading = arg;
	if (level == 0)
		return event == JSON_OBJECT || event == JSON_OBJECT_END ? 0 : -EUCLEAN;
	if (level > 1)
		return 0;
	switch (event) {
	case JSON_KEY_PART:
		match(reading, bytes, n);
		return 0;
	case JSON_KEY_END:
		reading->is_it = reading->matched == sizeof name - 1;
		reading->matched = 0;
		reading->begun = reading->at + 1;
		return 0;
	case JSON_NULL:
		if (reading->is_it)
			reading->ttl = TTL_NEVER;
		reading->found |= reading->is_it;
		return 0;
	case JSON_NUMBER:
		return reading->is_it ? take_number(reading) : 0;
	default:
		return reading->is_it ? -EUCLEAN : 0;
	}
}

int ttl_read(const void *json, size_t n, int64_t *ret)
{
	struct reading reading = {.text = json};
	struct json_scan scan;
	int r = 0;
	json_scan_init(&scan, JSON_STRICT, on_event, &reading);
	/* The reader tells of a number, but not where it stands. */
	for (; r == 0 && reading.at < n; reading.at++)
		r = json_scan_feed(&scan, reading.text + reading.at, 1);
	if (r == 0)
		r = json_scan_end(&scan);
	if (r < 0)
		return r;
	if (!reading.found)
		return -EUCLEAN;
	*ret = reading.ttl;
	return 0;
}
