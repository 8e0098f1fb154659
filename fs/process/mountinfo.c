/* A line is: id parent major:minor root point options [optional...] - type source options */
#include "ckfs/mountinfo.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

static bool is_octal(char c, char max)
{
	return c >= '0' && c <= max;
}

/* Undoes octal escapes, in place. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *p = text; *p; p++) {
		if (p[0] == '\\' && is_octal(p[1], '3') && is_octal(p[2], '7') && is_octal(p[3], '7')) {
			*to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

/* The fields from here on, which may be empty. */
static bool take(char **line, char **fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fields[i] = strsep(line, " ");
		if (!fields[i])
			return false;
	}
	return true;
}

bool mountinfo_parse(char *line, struct mountinfo *ret)
{
	char *first[6], *last[3];
	unsigned device_major, device_minor;
	const char *optional;
	line[strcspn(line, "\n")] = '\0';
	if (!take(&line, first, 6) || sscanf(first[2], "%u:%u", &device_major, &device_minor) != 2)
		return false;
	do
		optional = strsep(&line, " ");
	while (optional && strcmp(optional, "-") != 0);
	if (!optional || !take(&line, last, 3))
		return false;
	unescape(first[3]);
	unescape(first[4]);
	*ret = (struct mountinfo){
		.device = makedev(device_major, device_minor),
		.root = first[3],
		.point = first[4],
		.type = last[0],
		.options = last[2],
	};
	return true;
}
