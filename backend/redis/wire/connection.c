#include "connection.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a text that there is room for before they have come. */
#define TEXT_STEP ((size_t)64 << 10)

/* Bytes of a value, or of a long word, that are put at a time. */
#define VALUE_STEP ((size_t)64 << 10)

/* So much may wait to be sent: names may be as long as values, and each command has one. */
#define UNSENT_MAX ((size_t)256 << 10)

static int fail(struct redis_connection *c, int r)
{
	return stream_fail(&c->stream, r);
}

/* The head of a word or of a command. */
static void put_count(struct redis_connection *c, char kind, uint64_t n)
{
	char text[24], *p = text + sizeof text;
	*--p = '\n';
	*--p = '\r';
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	*--p = kind;
	buf_put(&c->stream.out, p, (size_t)(text + sizeof text - p));
}

/* The end of the last word is never sent here: as long as the caller does not send, the command that is being put has not been made. */
static void put_word(struct redis_connection *c, const struct bytes *word)
{
	struct bytes left = *word;
	put_count(c, '$', word->left);
	while (left.left > 0 && c->unsent == 0) {
		const size_t n = left.left < VALUE_STEP ? left.left : VALUE_STEP;
		buf_put(&c->stream.out, left.p, n);
		left = bytes_of(left.p + n, left.left - n);
		if (c->stream.out.length > UNSENT_MAX)
			c->unsent = stream_send(&c->stream);
	}
	buf_put(&c->stream.out, "\r\n", 2);
}

static void put_words(struct redis_connection *c, const struct bytes *words, size_t count)
{
	c->heads_owed++;
	put_count(c, '*', count);
	for (size_t i = 0; i < count; i++)
		put_word(c, &words[i]);
}

void connection_put(struct redis_connection *c, const struct bytes *words, size_t count)
{
	if (c->asking)
		put_words(c, (const struct bytes[]){bytes_of("ASKING", 6)}, 1);
	put_words(c, words, count);
}

void connection_put_text(struct redis_connection *c, ...)
{
	struct bytes words[8];
	size_t count = 0;
	va_list list;
	va_start(list, c);
	for (const char *word; count < 8 && (word = va_arg(list, const char *)) != NULL; count++)
		words[count] = bytes_of(word, strlen(word));
	va_end(list);
	connection_put(c, words, count);
}

int connection_send(struct redis_connection *c)
{
	return c->unsent < 0 ? c->unsent : stream_send(&c->stream);
}

int connection_put_value(struct redis_connection *c, const struct bytes *words, size_t count, const struct slice *value)
{
	int r = 0;
	if (c->asking)
		put_words(c, (const struct bytes[]){bytes_of("ASKING", 6)}, 1);
	c->heads_owed++;
	put_count(c, '*', count + 1);
	put_word(c, &words[0]);
	put_word(c, &words[1]);
	put_count(c, '$', value->length);
	for (uint64_t at = 0; r == 0 && at < value->length;) {
		size_t n = value->length - at < VALUE_STEP ? (size_t)(value->length - at) : VALUE_STEP;
		void *piece = buf_extend(&c->stream.out, n);
		r = piece ? slice_read(value, at, piece, n) : -ENOMEM;
		at += n;
		/* What is left out of a command costs the connection. */
		if (r < 0)
			fail(c, r);
		else if (at < value->length || value->length > VALUE_STEP)
			r = connection_send(c);
	}
	buf_put(&c->stream.out, "\r\n", 2);
	for (size_t i = 2; i < count; i++)
		put_word(c, &words[i]);
	return r;
}

static void count_head(struct redis_connection *c, const struct reply *reply)
{
	/* What is pushed was not asked for. */
	if (reply->kind != REPLY_PUSH) {
		c->heads_owed -= c->heads_owed > 0;
		c->nested -= c->nested > 0;
	}
	if (reply->kind == REPLY_ARRAY || reply->kind == REPLY_PUSH) {
		c->heads_owed += (uint64_t)reply->number;
		c->nested += (uint64_t)reply->number;
	}
	if (reply->kind == REPLY_STRING)
		c->string_owed = (uint64_t)reply->number + 2;
}

uint64_t connection_announced(const struct redis_connection *c)
{
	return c->armed && !c->asking ? c->pooled.era : 0;
}

bool connection_is_clean(const struct redis_connection *c)
{
	return stream_is_clean(&c->stream) && c->heads_owed == 0 && c->string_owed == 0;
}

static int next_head(struct redis_connection *c, struct reply *ret)
{
	for (;;) {
		size_t arrived;
		const uint8_t *p = stream_peek(&c->stream, &arrived);
		int n = reply_read(p, arrived, ret);
		if (n < 0)
			return fail(c, n);
		if (n > 0) {
			stream_take(&c->stream, (size_t)n);
			count_head(c, ret);
			return 0;
		}
		/* There is room: an incomplete head is shorter than the buffer. */
		int r = stream_fill(&c->stream);
		if (r < 0)
			return r;
	}
}

int connection_head(struct redis_connection *c, struct reply *ret)
{
	int r = c->asking && c->nested == 0 ? next_head(c, ret) : 0;
	return r < 0 ? r : next_head(c, ret);
}

static bool begins_with(const struct bytes *text, const char *word)
{
	struct bytes b = *text;
	return bytes_match(&b, word, strlen(word));
}

/* What an error means, and where it points to: WORD slot host:port. */
static int meaning_of(struct redis_connection *c, const struct bytes *text)
{
	int r = reply_errno(text);
	snprintf(c->words, sizeof c->words, "%.*s", (int)text->left, text->p);
	if (r == REPLY_MOVED || r == REPLY_ASK) {
		const char *at = memrchr(text->p, ' ', text->left);
		snprintf(c->redirect, sizeof c->redirect, "%.*s", (int)(text->left - (size_t)(at + 1 - (const char *)text->p)), at + 1);
	}
	/* It was logged in, and is no more: as good as closed. */
	if (r == -EACCES && begins_with(text, "NOAUTH"))
		return fail(c, c->pooled.used ? -ECONNRESET : r);
	return r;
}

/* A head of one kind; *ret is untouched when it is another. */
static int head_of_kind(struct redis_connection *c, enum reply_kind kind, struct reply *ret)
{
	struct reply reply = {0};
	int r = connection_head(c, &reply);
	if (r < 0)
		return r;
	if (reply.kind == REPLY_ERROR)
		return meaning_of(c, &reply.text);
	if (reply.kind != kind && !(kind == REPLY_STRING && reply.kind == REPLY_NIL))
		return fail(c, -EIO);
	*ret = reply;
	return 0;
}

int connection_integer(struct redis_connection *c, int64_t *ret)
{
	struct reply reply = {0};
	int r = head_of_kind(c, REPLY_INTEGER, &reply);
	if (r == 0)
		*ret = reply.number;
	return r;
}

int connection_status(struct redis_connection *c)
{
	struct reply reply = {0};
	return head_of_kind(c, REPLY_STATUS, &reply);
}

int connection_pong(struct redis_connection *c)
{
	int r = connection_status(c);
	return r == REPLY_READERS_ONLY ? 0 : r;
}

int connection_status_or_nil(struct redis_connection *c)
{
	struct reply reply = {0};
	int r = connection_head(c, &reply);
	if (r < 0)
		return r;
	if (reply.kind == REPLY_ERROR)
		return meaning_of(c, &reply.text);
	return reply.kind == REPLY_STATUS ? 1 : reply.kind == REPLY_NIL ? 0 : fail(c, -EIO);
}

int connection_array(struct redis_connection *c, int64_t *ret_count)
{
	struct reply reply = {0};
	int r = head_of_kind(c, REPLY_ARRAY, &reply);
	if (r == 0)
		*ret_count = reply.number;
	return r;
}

int connection_length(struct redis_connection *c, uint64_t *ret)
{
	int64_t n = 0;
	int r = connection_integer(c, &n);
	if (r == 0 && (n < 0 || n > REPLY_STRING_MAX))
		r = fail(c, -EIO);
	if (r == 0)
		*ret = (uint64_t)n;
	return r;
}

int connection_string_or_nil(struct redis_connection *c, uint64_t max, uint64_t *ret)
{
	struct reply reply = {0};
	int r = head_of_kind(c, REPLY_STRING, &reply);
	if (r < 0 || reply.kind == REPLY_NIL)
		return r;
	if ((uint64_t)reply.number > max)
		return fail(c, -EIO);
	*ret = (uint64_t)reply.number;
	return 1;
}

int connection_string(struct redis_connection *c, uint64_t max, uint64_t *ret)
{
	int r = connection_string_or_nil(c, max, ret);
	return r == 1 ? 0 : r == 0 ? fail(c, -EIO) : r;
}

int connection_read(struct redis_connection *c, void *to, size_t n)
{
	c->string_owed -= n < c->string_owed ? n : c->string_owed;
	return stream_read(&c->stream, to, n);
}

int connection_string_end(struct redis_connection *c)
{
	char end[2];
	int r = connection_read(c, end, sizeof end);
	if (r == 0 && memcmp(end, "\r\n", 2) != 0)
		r = fail(c, -EIO);
	return r;
}

int connection_part(struct redis_connection *c, void *to, size_t max, size_t *ret)
{
	uint64_t n = 0;
	int r = connection_string(c, max, &n);
	if (r == 0)
		r = connection_read(c, to, (size_t)n);
	if (r == 0)
		r = connection_string_end(c);
	if (r == 0)
		*ret = (size_t)n;
	return r;
}

/* Bytes in memory that grows as they come: their number is only a claim. */
static int read_text(struct redis_connection *c, size_t n, char **ret)
{
	size_t at = 0, room = 0;
	int r = 0;
	do {
		room = n - at < at + TEXT_STEP ? n : 2 * at + TEXT_STEP;
		char *grown = realloc(*ret, room + 1);
		if (!grown)
			return fail(c, -ENOMEM);
		*ret = grown;
		r = connection_read(c, grown + at, room - at);
		at = room;
	} while (r == 0 && at < n);
	return r;
}

int connection_text(struct redis_connection *c, uint64_t max, char **ret, size_t *ret_length)
{
	uint64_t n = 0;
	int r = connection_string_or_nil(c, max, &n);
	if (r < 0)
		return r;
	if (r == 0) {
		*ret = NULL;
		*ret_length = 0;
		return 0;
	}
	cleanup_free char *text = NULL;
	r = read_text(c, (size_t)n, &text);
	if (r == 0)
		r = connection_string_end(c);
	if (r < 0)
		return r;
	text[n] = '\0';
	*ret = steal(text);
	*ret_length = (size_t)n;
	return 0;
}

int connection_skip(struct redis_connection *c, uint64_t n)
{
	c->string_owed -= n < c->string_owed ? n : c->string_owed;
	return stream_skip(&c->stream, n);
}
