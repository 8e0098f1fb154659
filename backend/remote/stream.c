#include "stream.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>

/* How often a wait looks whether it was cancelled. */
#define CANCEL_MS 100

/* What was cancelled goes on for so long, milliseconds. */
#define PATIENCE_MS 300

int stream_open(struct stream *stream, const struct endpoint *server, int timeout_ms, const atomic_bool *stop, struct error *error)
{
	/* The buffer is written before it is read. */
	memset(stream, 0, offsetof(struct stream, in));
	stream->transport = (struct transport){.fd = -1};
	stream->timeout_ms = timeout_ms;
	stream->stop = stop;
	return transport_open(server, timeout_ms, stop, &stream->transport, error);
}

void stream_close(struct stream *stream)
{
	transport_close(&stream->transport);
	buf_done(&stream->out);
}

int stream_fail(struct stream *stream, int r)
{
	stream->broken = true;
	return r;
}

void stream_set_cancel(struct stream *stream, const atomic_bool *cancel)
{
	stream->cancel = cancel;
	stream->cancel_at = 0;
}

bool stream_is_clean(const struct stream *stream)
{
	return !stream->broken && stream->at == stream->filled;
}

static bool is_cancelled(struct stream *s)
{
	if (s->stop && atomic_load(s->stop))
		return true;
	if (!s->cancel || !atomic_load(s->cancel))
		return false;
	int64_t now = clock_ms();
	if (s->cancel_at == 0)
		s->cancel_at = now + PATIENCE_MS;
	return now >= s->cancel_at;
}

/* Waits until the socket is ready. */
static int wait_for(struct stream *s, short events)
{
	if (events == POLLIN && busy_poll(&s->busy_poll, s->transport.fd, events))
		return 0;
	int64_t end = clock_ms() + s->timeout_ms;
	for (;;) {
		int64_t left = s->timeout_ms < 0 ? -1 : end - clock_ms();
		if (is_cancelled(s))
			return stream_fail(s, -EINTR);
		if (s->timeout_ms >= 0 && left <= 0)
			return stream_fail(s, -ETIMEDOUT);
		/* Who waits for ever is stopped by a shutdown of the transport. */
		if ((s->cancel || (s->stop && left >= 0)) && (left < 0 || left > CANCEL_MS))
			left = CANCEL_MS;
		struct pollfd p = {.fd = s->transport.fd, .events = events};
		int n = poll(&p, 1, (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return stream_fail(s, errno == ENOMEM ? -ENOMEM : -EMFILE);
	}
}

/* At least one byte, at most n, without a wait. Bytes; 0 and what to wait for; -errno. */
static ssize_t receive_now(struct stream *s, void *to, size_t n, short *ret_events)
{
	ssize_t got = transport_receive(&s->transport, to, n, ret_events);
	if (got == -EAGAIN)
		return 0;
	if (got < 0)
		return stream_fail(s, (int)got);
	s->answered_ms = s->answered_ms ? s->answered_ms : clock_ms();
	if (s->progress)
		atomic_fetch_add_explicit(s->progress, 1, memory_order_relaxed);
	return got;
}

/* The same, waiting. Bytes, or -errno. */
static ssize_t receive(struct stream *s, void *to, size_t n)
{
	for (;;) {
		short events;
		ssize_t got = receive_now(s, to, n, &events);
		/* Progress without a wait: whoever cancelled shall not have to wait for the end of it, which may never come. */
		if (got > 0 && is_cancelled(s))
			return stream_fail(s, -EINTR);
		if (got != 0)
			return got;
		int r = wait_for(s, events);
		if (r < 0)
			return r;
	}
}

int stream_send(struct stream *s)
{
	size_t at = 0;
	s->answered_ms = 0;
	int r = s->out.failed ? stream_fail(s, -ENOMEM) : 0;
	while (r == 0 && at < s->out.length) {
		short events;
		ssize_t put = transport_send(&s->transport, s->out.p + at, s->out.length - at, &events);
		if (put > 0)
			at += (size_t)put;
		else
			r = put == -EAGAIN ? wait_for(s, events) : stream_fail(s, (int)put);
	}
	s->out.length = 0;
	return r;
}

bool stream_has_arrived(struct stream *s)
{
	short ignored;
	if (s->at < s->filled)
		return true;
	ssize_t got = transport_receive(&s->transport, s->in, sizeof s->in, &ignored);
	s->at = 0;
	s->filled = got > 0 ? (size_t)got : 0;
	return got != -EAGAIN;
}

const uint8_t *stream_peek(const struct stream *s, size_t *ret_length)
{
	*ret_length = s->filled - s->at;
	return s->in + s->at;
}

void stream_take(struct stream *s, size_t n)
{
	s->at += n;
}

/* Makes room behind what was not taken. 0, -EIO. */
static int make_room(struct stream *s)
{
	if (s->at > 0) {
		memmove(s->in, s->in + s->at, s->filled - s->at);
		s->filled -= s->at;
		s->at = 0;
	}
	return s->filled == sizeof s->in ? stream_fail(s, -EIO) : 0;
}

int stream_fill(struct stream *s)
{
	ssize_t got = make_room(s);
	if (got == 0)
		got = receive(s, s->in + s->filled, sizeof s->in - s->filled);
	if (got < 0)
		return (int)got;
	s->filled += (size_t)got;
	return 0;
}

static int fill_now(struct stream *s, short *ret_events)
{
	ssize_t got = make_room(s);
	if (got == 0)
		got = receive_now(s, s->in + s->filled, sizeof s->in - s->filled, ret_events);
	if (got <= 0)
		return (int)got;
	s->filled += (size_t)got;
	return 1;
}

int stream_fill_now(struct stream *s)
{
	short ignored;
	return fill_now(s, &ignored);
}

int stream_fill_unless(struct stream *s, const atomic_bool *cancel)
{
	const int64_t end = clock_ms() + s->timeout_ms;
	for (;;) {
		short events = POLLIN;
		if ((cancel && atomic_load(cancel)) || (s->stop && atomic_load(s->stop)))
			return -EINTR;
		int r = fill_now(s, &events);
		if (r != 0)
			return r < 0 ? r : 0;
		const int64_t left = end - clock_ms();
		if (left <= 0)
			return stream_fail(s, -ETIMEDOUT);
		struct pollfd p = {.fd = s->transport.fd, .events = events};
		if (poll(&p, 1, left < CANCEL_MS ? (int)left : CANCEL_MS) < 0 && errno != EINTR)
			return stream_fail(s, errno == ENOMEM ? -ENOMEM : -EMFILE);
	}
}

int stream_read(struct stream *s, void *to, size_t n)
{
	uint8_t *p = to;
	size_t buffered = s->filled - s->at;
	size_t first = n < buffered ? n : buffered;
	if (first > 0)
		memcpy(p, s->in + s->at, first);
	s->at += first;
	for (size_t done = first; done < n;) {
		ssize_t got = receive(s, p + done, n - done);
		if (got < 0)
			return (int)got;
		done += (size_t)got;
	}
	return 0;
}

int stream_skip(struct stream *s, uint64_t n)
{
	uint8_t dropped[4096];
	int r = 0;
	while (r == 0 && n > 0) {
		size_t step = n < sizeof dropped ? (size_t)n : sizeof dropped;
		r = stream_read(s, dropped, step);
		n -= step;
	}
	return r;
}

int stream_explain(const struct stream *stream, const struct endpoint *server, struct error *error)
{
	return transport_explain(&stream->transport, server, error);
}
