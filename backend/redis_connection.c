#include "redis_connection.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often a wait looks whether it was cancelled. */
#define CANCEL_MS 100

/* What was cancelled goes on for so long, milliseconds. */
#define PATIENCE_MS 300

static int fail(struct redis_connection *c, int r)
{
	c->broken = true;
	return r;
}

void connection_set_cancel(struct redis_connection *c, const atomic_bool *cancel)
{
	c->cancel = cancel;
	c->cancel_at = 0;
}

static bool is_cancelled(struct redis_connection *c)
{
	if (c->stop && atomic_load(c->stop))
		return true;
	if (!c->cancel || !atomic_load(c->cancel))
		return false;
	int64_t now = clock_ms();
	if (c->cancel_at == 0)
		c->cancel_at = now + PATIENCE_MS;
	return now >= c->cancel_at;
}

/* Waits until the socket is ready. */
static int wait_for(struct redis_connection *c, short events)
{
	if (events == POLLIN && busy_poll(&c->busy_poll, c->transport.fd, events))
		return 0;
	int64_t end = clock_ms() + c->timeout_ms;
	for (;;) {
		int64_t left = c->timeout_ms < 0 ? -1 : end - clock_ms();
		if (is_cancelled(c))
			return fail(c, -EINTR);
		if (c->timeout_ms >= 0 && left <= 0)
			return fail(c, -ETIMEDOUT);
		/* Who waits for ever is stopped by a shutdown of the transport. */
		if ((c->cancel || (c->stop && left >= 0)) && (left < 0 || left > CANCEL_MS))
			left = CANCEL_MS;
		struct pollfd p = {.fd = c->transport.fd, .events = events};
		int n = poll(&p, 1, (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return fail(c, errno == ENOMEM ? -ENOMEM : -EMFILE);
	}
}

/* At least one byte, at most n. Bytes, or -errno. */
static ssize_t receive(struct redis_connection *c, void *to, size_t n)
{
	for (;;) {
		short events;
		ssize_t got = transport_receive(&c->transport, to, n, &events);
		if (got > 0) {
			c->answered_ms = c->answered_ms ? c->answered_ms : clock_ms();
			if (c->progress)
				atomic_fetch_add_explicit(c->progress, 1, memory_order_relaxed);
			return got;
		}
		int r = got == -EAGAIN ? wait_for(c, events) : fail(c, (int)got);
		if (r < 0)
			return r;
	}
}

bool connection_has_arrived(struct redis_connection *c)
{
	short ignored;
	if (c->at < c->filled)
		return true;
	ssize_t got = transport_receive(&c->transport, c->in, sizeof c->in, &ignored);
	c->at = 0;
	c->filled = got > 0 ? (size_t)got : 0;
	return got != -EAGAIN;
}

static void put_words(struct redis_connection *c, const struct bytes *words, size_t count)
{
	c->heads_owed++;
	buf_printf(&c->out, "*%zu\r\n", count);
	for (size_t i = 0; i < count; i++) {
		buf_printf(&c->out, "$%zu\r\n", words[i].left);
		buf_put(&c->out, words[i].p, words[i].left);
		buf_put(&c->out, "\r\n", 2);
	}
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
	size_t at = 0;
	c->answered_ms = 0;
	int r = c->out.failed ? fail(c, -ENOMEM) : 0;
	while (r == 0 && at < c->out.length) {
		short events;
		ssize_t put = transport_send(&c->transport, c->out.p + at, c->out.length - at, &events);
		if (put > 0)
			at += (size_t)put;
		else
			r = put == -EAGAIN ? wait_for(c, events) : fail(c, (int)put);
	}
	c->out.length = 0;
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
	return c->armed && !c->asking ? c->round : 0;
}

bool connection_is_clean(const struct redis_connection *c)
{
	return !c->broken && c->heads_owed == 0 && c->string_owed == 0 && c->at == c->filled;
}

static int next_head(struct redis_connection *c, struct reply *ret)
{
	for (;;) {
		int n = reply_read(c->in + c->at, c->filled - c->at, ret);
		if (n < 0)
			return fail(c, n);
		if (n > 0) {
			c->at += (size_t)n;
			count_head(c, ret);
			return 0;
		}
		if (c->at > 0) {
			memmove(c->in, c->in + c->at, c->filled - c->at);
			c->filled -= c->at;
			c->at = 0;
		}
		/* There is room: an incomplete head is shorter than the buffer. */
		ssize_t got = receive(c, c->in + c->filled, sizeof c->in - c->filled);
		if (got < 0)
			return (int)got;
		c->filled += (size_t)got;
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
	if (r == REPLY_MOVED || r == REPLY_ASK) {
		const char *at = memrchr(text->p, ' ', text->left);
		snprintf(c->redirect, sizeof c->redirect, "%.*s", (int)(text->left - (size_t)(at + 1 - (const char *)text->p)), at + 1);
	}
	/* It was logged in, and is no more: as good as closed. */
	if (r == -EACCES && begins_with(text, "NOAUTH"))
		return fail(c, c->used ? -ECONNRESET : r);
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

int connection_array(struct redis_connection *c, int64_t *ret_count)
{
	struct reply reply = {0};
	int r = head_of_kind(c, REPLY_ARRAY, &reply);
	if (r == 0)
		*ret_count = reply.number;
	return r;
}

int connection_string(struct redis_connection *c, int64_t max, int64_t *ret)
{
	struct reply reply = {0};
	int r = head_of_kind(c, REPLY_STRING, &reply);
	if (r < 0)
		return r;
	if (reply.kind == REPLY_STRING && reply.number > max)
		return fail(c, -EIO);
	*ret = reply.kind == REPLY_NIL ? -1 : reply.number;
	return 0;
}

int connection_read(struct redis_connection *c, void *to, size_t n)
{
	uint8_t *p = to;
	size_t buffered = c->filled - c->at;
	size_t first = n < buffered ? n : buffered;
	c->string_owed -= n < c->string_owed ? n : c->string_owed;
	if (first > 0)
		memcpy(p, c->in + c->at, first);
	c->at += first;
	for (size_t done = first; done < n;) {
		ssize_t got = receive(c, p + done, n - done);
		if (got < 0)
			return (int)got;
		done += (size_t)got;
		/* Progress without a wait: whoever cancelled shall not have to wait for the end of it. */
		if (is_cancelled(c))
			return fail(c, -EINTR);
	}
	return 0;
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
	int64_t n = 0;
	int r = connection_string(c, (int64_t)max, &n);
	if (r < 0)
		return r;
	*ret = n < 0 ? 0 : (size_t)n;
	r = n < 0 ? 0 : connection_read(c, to, *ret);
	return r < 0 || n < 0 ? r : connection_string_end(c);
}

int connection_text(struct redis_connection *c, int64_t max, char **ret, size_t *ret_length)
{
	int64_t n;
	int r = connection_string(c, max, &n);
	if (r < 0)
		return r;
	if (n < 0) {
		*ret = NULL;
		*ret_length = 0;
		return 0;
	}
	cleanup_free char *text = malloc((size_t)n + 1);
	if (!text)
		return fail(c, -ENOMEM);
	r = connection_read(c, text, (size_t)n);
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
	uint8_t dropped[4096];
	int r = 0;
	while (r == 0 && n > 0) {
		size_t step = n < sizeof dropped ? (size_t)n : sizeof dropped;
		r = connection_read(c, dropped, step);
		n -= step;
	}
	return r;
}
