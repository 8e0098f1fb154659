#include "reply.h"

#include <errno.h>

/* A decimal number of a whole line. */
static int read_number(struct bytes line, int64_t *ret)
{
	bool negative = bytes_match(&line, "-", 1);
	uint64_t n = 0;
	uint8_t digit;
	if (line.left == 0 || line.left > 19)
		return -EIO;
	while (bytes_u8(&line, &digit)) {
		if (digit < '0' || digit > '9')
			return -EIO;
		n = n * 10 + (digit - '0');
	}
	/* At most 19 digits: n has not wrapped. The lowest number of all is nothing that a server counts. */
	if (n > INT64_MAX)
		return -EIO;
	*ret = negative ? -(int64_t)n : (int64_t)n;
	return 0;
}

/* A length or a count, -1 for nothing. */
static int read_count(struct bytes line, enum reply_kind kind, int64_t max, struct reply *ret)
{
	int64_t n;
	int r = read_number(line, &n);
	if (r < 0)
		return r;
	if (n < -1 || n > max)
		return -EIO;
	*ret = n < 0 ? (struct reply){.kind = kind == REPLY_STRING ? REPLY_NIL : REPLY_NOTHING} : (struct reply){.kind = kind, .number = n};
	return 0;
}

/* As many pairs are twice as many elements. */
static int read_map(struct bytes line, struct reply *ret)
{
	int r = read_count(line, REPLY_ARRAY, REPLY_ARRAY_MAX / 2, ret);
	if (r == 0)
		ret->number *= 2;
	return r;
}

static int read_line(uint8_t type, struct bytes line, struct reply *ret)
{
	int64_t number;
	switch (type) {
	case '+':
		*ret = (struct reply){.kind = REPLY_STATUS, .text = line};
		return 0;
	case '-':
		*ret = (struct reply){.kind = REPLY_ERROR, .text = line};
		return 0;
	case ':':
		if (read_number(line, &number) < 0)
			return -EIO;
		*ret = (struct reply){.kind = REPLY_INTEGER, .number = number};
		return 0;
	case '$':
		return read_count(line, REPLY_STRING, REPLY_STRING_MAX, ret);
	case '*':
		return read_count(line, REPLY_ARRAY, REPLY_ARRAY_MAX, ret);
	case '>':
		return read_count(line, REPLY_PUSH, REPLY_ARRAY_MAX, ret);
	case '%':
		return read_map(line, ret);
	case '_':
		if (line.left > 0)
			return -EIO;
		*ret = (struct reply){.kind = REPLY_NOTHING};
		return 0;
	default:
		return -EIO;
	}
}

int reply_read(const void *bytes, size_t n, struct reply *ret)
{
	const uint8_t *p = bytes;
	if (n > REPLY_HEAD_MAX)
		n = REPLY_HEAD_MAX;
	if (n == 0)
		return 0;
	if (!memchr("+-:$*>%_", p[0], 8))
		return -EIO;
	const uint8_t *cr = memchr(p, '\r', n);
	size_t length = cr ? (size_t)(cr - p) : n;
	if (memchr(p, '\n', length))
		return -EIO;
	if (length + 2 > n)
		return n == REPLY_HEAD_MAX ? -EIO : 0;
	if (cr[1] != '\n')
		return -EIO;
	int r = read_line(p[0], bytes_of(p + 1, length - 1), ret);
	return r < 0 ? r : (int)length + 2;
}

static bool begins_with(const struct bytes *text, const char *word)
{
	struct bytes b = *text;
	return bytes_match(&b, word, strlen(word));
}

int reply_errno(const struct bytes *text)
{
	static const struct {
		const char *begins;
		int r;
	} meanings[] = {
		{"NOAUTH", -EACCES}, {"WRONGPASS", -EACCES}, {"NOPERM", -EACCES}, {"ERR invalid password", -EACCES},
		{"ERR AUTH ", -EACCES}, {"ERR Client sent AUTH", -EACCES}, {"DENIED", -EACCES},
		{"LOADING", -EAGAIN}, {"BUSY", -EAGAIN}, {"MASTERDOWN", -EAGAIN}, {"TRYAGAIN", -EAGAIN}, {"CLUSTERDOWN", -EAGAIN},
		{"MOVED ", REPLY_MOVED}, {"ASK ", REPLY_ASK},
		{"OOM", REPLY_FULL}, {"READONLY", -EROFS}, {"ERR max number of clients", -EAGAIN},
		{"MISCONF", REPLY_READERS_ONLY}, {"NOREPLICAS", REPLY_READERS_ONLY},
		{"WRONGTYPE", -EPROTOTYPE}, {"ERR unknown command", -ENOSYS}, {"ERR unknown subcommand", -ENOSYS},
		{"ERR Unknown subcommand", -ENOSYS}, {"ERR syntax error", -ENOSYS}, {"ERR wrong number of arguments", -ENOSYS},
	};
	for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
		if (begins_with(text, meanings[i].begins))
			return meanings[i].r;
	return -EIO;
}
