#include "reply.h"

#include <errno.h>

/* The next word of a line, parted by single blanks; empty: there is none. */
static struct bytes next_word(struct bytes *line)
{
	const uint8_t *end = line->left ? memchr(line->p, ' ', line->left) : NULL;
	const struct bytes word = {line->p, end ? (size_t)(end - line->p) : line->left};
	line->p += word.left + (end != NULL);
	line->left -= word.left + (end != NULL);
	return word;
}

static bool is_word(struct bytes word, const char *text)
{
	return word.left == strlen(text) && memcmp(word.p, text, word.left) == 0;
}

static bool begins_with(struct bytes text, const char *word)
{
	return bytes_match(&text, word, strlen(word));
}

bool mc_number(struct bytes text, uint64_t *ret)
{
	uint64_t number = 0;
	if (text.left == 0 || text.left > 19)
		return false;
	for (size_t i = 0; i < text.left; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		number = number * 10 + (text.p[i] - '0');
	}
	if (number > INT64_MAX)
		return false;
	*ret = number;
	return true;
}

/* --- errors --- */

int mc_errno(const char *line, size_t n)
{
	const struct bytes text = bytes_of(line, n);
	if (begins_with(text, "CLIENT_ERROR unauthenticated") || begins_with(text, "CLIENT_ERROR authentication"))
		return -EACCES;
	if (begins_with(text, "SERVER_ERROR out of memory") || begins_with(text, "SERVER_ERROR Out of memory") || begins_with(text, "ERROR Too many open connections"))
		return -EAGAIN;
	if (begins_with(text, "SERVER_ERROR object too large"))
		return -EFBIG;
	return begins_with(text, "ERROR") || begins_with(text, "CLIENT_ERROR") || begins_with(text, "SERVER_ERROR") ? -EIO : 0;
}

/* --- meta commands --- */

/* -1, or a number. */
static bool read_ttl(struct bytes token, int64_t *ret)
{
	uint64_t number;
	if (is_word(token, "-1")) {
		*ret = -1;
		return true;
	}
	if (!mc_number(token, &number))
		return false;
	*ret = (int64_t)number;
	return true;
}

static bool read_cas(struct bytes token, uint64_t *ret)
{
	uint64_t number = 0;
	if (token.left == 0 || token.left > 20)
		return false;
	for (size_t i = 0; i < token.left; i++) {
		const unsigned digit = (unsigned)token.p[i] - '0';
		if (digit > 9 || number > (UINT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*ret = number;
	return true;
}

/* One flag: a letter, and what follows it. Those that nobody asked for say nothing. */
static bool read_flag(struct bytes word, struct mc_reply *ret)
{
	const struct bytes token = {word.p + 1, word.left - 1};
	uint64_t number;
	bool known = true;
	switch (word.p[0]) {
	case 's':
		known = mc_number(token, &number) && number <= MC_VALUE_MAX && (ret->kind != MC_VALUE || number == ret->size);
		ret->size = known ? number : ret->size;
		ret->has_size = true;
		break;
	case 't':
		known = read_ttl(token, &ret->ttl);
		break;
	case 'c':
		known = read_cas(token, &ret->cas);
		break;
	case 'f':
		known = mc_number(token, &number) && number <= UINT32_MAX;
		ret->flags = known ? (uint32_t)number : 0;
		break;
	case 'O':
		known = mc_number(token, &ret->opaque);
		break;
	}
	return known;
}

int mc_reply_read(const char *line, size_t n, struct mc_reply *ret)
{
	struct bytes rest = bytes_of(line, n);
	struct mc_reply reply = {.ttl = -1};
	const struct bytes word = next_word(&rest);
	if (mc_errno(line, n) < 0) {
		*ret = (struct mc_reply){.kind = MC_ERROR, .ttl = -1};
		return 0;
	}
	if (is_word(word, "EN") || is_word(word, "NF"))
		reply.kind = MC_MISS;
	else if (is_word(word, "EX") || is_word(word, "NS"))
		reply.kind = MC_CHANGED;
	else if (is_word(word, "HD") || is_word(word, "OK"))
		reply.kind = MC_HEAD;
	else if (is_word(word, "VA") && mc_number(next_word(&rest), &reply.size) && reply.size <= MC_VALUE_MAX)
		reply.kind = MC_VALUE;
	else
		return -EIO;
	reply.has_size = reply.kind == MC_VALUE;
	while (rest.left > 0) {
		const struct bytes flag = next_word(&rest);
		if (flag.left > 0 && !read_flag(flag, &reply))
			return -EIO;
	}
	*ret = reply;
	return 0;
}

bool mc_stat_read(const char *line, size_t n, struct bytes *ret_name, struct bytes *ret_value)
{
	struct bytes rest = bytes_of(line, n);
	if (!is_word(next_word(&rest), "STAT"))
		return false;
	*ret_name = next_word(&rest);
	*ret_value = rest;
	return ret_name->left > 0;
}

/* --- dumps --- */

static int hex_of(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A key as dumps write it: %XX for all but letters, digits and -_.~ */
static bool read_key(struct bytes token, struct mc_item *ret)
{
	ret->length = 0;
	for (size_t i = 0; i < token.left; i++) {
		if (ret->length == sizeof ret->key)
			return false;
		int c = token.p[i];
		if (c == '%') {
			const int high = token.left - i > 2 ? hex_of(token.p[i + 1]) : -1;
			const int low = high >= 0 ? hex_of(token.p[i + 2]) : -1;
			if (low < 0)
				return false;
			c = high << 4 | low;
			i += 2;
		}
		ret->key[ret->length++] = (char)c;
	}
	return ret->length > 0;
}

static int read_item(struct bytes line, struct mc_item *ret)
{
	bool has_key = false;
	ret->size = 0;
	while (line.left > 0) {
		struct bytes word = next_word(&line);
		if (!has_key && bytes_match(&word, "key=", 4))
			has_key = read_key(word, ret);
		else if (bytes_match(&word, "size=", 5) && !mc_number(word, &ret->size))
			return -EIO;
	}
	return has_key ? 0 : -EIO;
}

int mc_dump_read(const char *line, size_t n, enum mc_dump_kind *ret_kind, struct mc_item *ret_item)
{
	const struct bytes text = bytes_of(line, n);
	struct mc_item item;
	if (begins_with(text, "key=")) {
		int r = read_item(text, &item);
		if (r < 0)
			return r;
		*ret_item = item;
		*ret_kind = MC_ITEM;
	} else if (is_word(text, "END"))
		*ret_kind = MC_DUMP_END;
	else if (is_word(text, "OK"))
		*ret_kind = MC_DUMP_OK;
	else if (begins_with(text, "BUSY") || begins_with(text, "ERROR locked"))
		*ret_kind = MC_DUMP_BUSY;
	else if (begins_with(text, "CLIENT_ERROR lru crawler disabled") || begins_with(text, "ERROR metadump not allowed"))
		*ret_kind = MC_DUMP_REFUSED;
	else if (mc_errno(line, n) < 0)
		*ret_kind = MC_DUMP_ERROR;
	else
		return -EIO;
	return 0;
}
