#include "url.h"

#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void text_wipe(char *text)
{
	if (text)
		sodium_memzero(text, strlen(text));
	free(text);
}

int part_decode(struct part part, bool plus, char **ret, struct error *error)
{
	char *text = malloc(part.n + 1), *to = text;
	if (!text)
		return error_set(error, -ENOMEM, "no memory");
	for (size_t i = 0; i < part.n; i++) {
		int high = part.p[i] == '%' && part.n - i > 2 ? hex_value(part.p[i + 1]) : -1;
		int low = high >= 0 ? hex_value(part.p[i + 2]) : -1;
		*to++ = low >= 0 ? (char)(high << 4 | low) : plus && part.p[i] == '+' ? ' ' : part.p[i];
		i += low >= 0 ? 2 : 0;
		if (to[-1] == '\0') {
			text_wipe(text);
			return error_set(error, -EINVAL, "the URL of the server contains %%00, which is not allowed");
		}
	}
	*to = '\0';
	text_wipe(*ret);
	*ret = text;
	return 0;
}

void url_put_escaped(struct buf *to, const char *text, size_t n)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";
	for (size_t i = 0; i < n; i++)
		if (text[i] && strchr(unreserved, text[i]))
			buf_put(to, text + i, 1);
		else
			buf_printf(to, "%%%02X", (unsigned)(uint8_t)text[i]);
}

struct part part_take_until(struct part *part, const char *ends)
{
	size_t n = 0;
	while (n < part->n && !strchr(ends, part->p[n]))
		n++;
	const struct part taken = {part->p, n};
	part->p += n;
	part->n -= n;
	return taken;
}

void part_skip(struct part *part, size_t n)
{
	part->p += n;
	part->n -= n;
}

bool part_is(struct part part, const char *text)
{
	return part.n == strlen(text) && memcmp(part.p, text, part.n) == 0;
}
