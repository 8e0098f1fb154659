#include "ckfs/buf.h"

#include "ckfs/utf8.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_done(struct buf *buf)
{
	free(buf->p);
	*buf = (struct buf){0};
}

static bool reserve(struct buf *buf, size_t n)
{
	if (buf->failed || n > SIZE_MAX / 4 - buf->length) {
		buf->failed = true;
		return false;
	}
	if (buf->length + n <= buf->capacity)
		return true;
	size_t capacity = (buf->length + n) * 2;
	char *p = realloc(buf->p, capacity);
	if (!p) {
		buf->failed = true;
		return false;
	}
	buf->p = p;
	buf->capacity = capacity;
	return true;
}

void buf_put(struct buf *buf, const void *bytes, size_t n)
{
	if (n == 0 || !reserve(buf, n))
		return;
	memcpy(buf->p + buf->length, bytes, n);
	buf->length += n;
}

void *buf_extend(struct buf *buf, size_t n)
{
	if (!reserve(buf, n))
		return NULL;
	buf->length += n;
	return buf->p + buf->length - n;
}

void buf_puts(struct buf *buf, const char *text)
{
	buf_put(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	/* One more for the NUL that vsnprintf insists on. */
	if (n >= 0 && reserve(buf, (size_t)n + 1)) {
		vsnprintf(buf->p + buf->length, (size_t)n + 1, format, again);
		buf->length += (size_t)n;
	}
	va_end(again);
	va_end(args);
}

/* How many bytes stand for themselves, one each. */
static size_t plain_length(const uint8_t *p, size_t n)
{
	size_t i = 0;
	while (i < n && p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\')
		i++;
	return i;
}

void buf_json_string(struct buf *buf, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	buf_puts(buf, "\"");
	while (n > 0) {
		size_t plain = plain_length(p, n);
		buf_put(buf, p, plain);
		p += plain;
		n -= plain;
		if (n == 0)
			break;
		unsigned length = utf8_length(p, n);
		if (length == 0)
			buf_puts(buf, "\xef\xbf\xbd");
		else if (*p == '"' || *p == '\\')
			buf_printf(buf, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			buf_printf(buf, "\\u%04x", *p);
		else
			buf_put(buf, p, length);
		length = length ? length : 1;
		p += length;
		n -= length;
	}
	buf_puts(buf, "\"");
}

void buf_json_text(struct buf *buf, const char *text)
{
	if (text)
		buf_json_string(buf, text, strlen(text));
	else
		buf_puts(buf, "null");
}

void buf_escaped(struct buf *buf, const void *bytes, size_t n, size_t most)
{
	const uint8_t *p = bytes;
	size_t end = buf->length + most;
	while (n > 0) {
		if (buf->length >= end) {
			buf_puts(buf, "...");
			return;
		}
		unsigned length = utf8_length(p, n);
		/* U+0080 to U+009F steer terminals too. */
		bool control = *p < 0x20 || *p == 0x7f || (length == 2 && p[0] == 0xc2 && p[1] < 0xa0);
		if (length == 0 || control) {
			buf_printf(buf, "\\x%02x", *p);
			length = 1;
		} else {
			buf_put(buf, p, length);
		}
		p += length;
		n -= length;
	}
}
