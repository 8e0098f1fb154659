/*
 * One connection to a server as a stream of bytes: what arrives is read into a small buffer, or from the socket to where it belongs with no copy
 * between; what is to be sent is gathered and sent at once. One thread at a time.
 *
 * Every wait ends when nothing has arrived for the timeout, when the stream is cancelled, or when all is to stop. After an error of the transport it is
 * `broken`, and of no use any more.
 */
#ifndef CKFS_REMOTE_STREAM_H
#define CKFS_REMOTE_STREAM_H

#include "transport.h"

#include "ckfs/buf.h"
#include "ckfs/busy_poll.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What can be peeked at is no longer than this. */
#define STREAM_BUFFER (32u << 10)

struct stream {
	struct transport transport;
	int timeout_ms;            /* the longest wait without progress; -1: for ever */
	const atomic_bool *stop;   /* looked at while waiting; borrowed; NULL: none */
	const atomic_bool *cancel; /* the same, with some patience; borrowed; NULL: none */
	int64_t cancel_at;         /* monotonic ms: when that ends; 0: it has not begun */
	atomic_uint_least64_t *progress; /* counts whenever something arrives; borrowed; NULL: nobody looks */
	struct busy_poll busy_poll; /* how fast the server answers here */
	bool broken;
	int64_t answered_ms;       /* when the first bytes came after what was sent last, by clock_ms(); 0: none have */
	struct buf out;            /* what is to be sent */
	size_t at, filled;         /* of `in`: what has arrived and was not taken */
	uint8_t in[STREAM_BUFFER]; /* last: it is not cleared */
};

/*
 * Connects, within the timeout. The stream need not be set before; it is closed also after a failure.
 * 0; -errno with the error set, as of transport_open().
 */
int stream_open(struct stream *stream, const struct endpoint *server, int timeout_ms, const atomic_bool *stop, struct error *error);
void stream_close(struct stream *stream);

/* What failed for r: the stream is broken from here on. Returns r. */
int stream_fail(struct stream *stream, int r);

/* Who reads from here on may go away, and set *cancel then (NULL: never). What is nearly there is still read: a new connection costs more. */
void stream_set_cancel(struct stream *stream, const atomic_bool *cancel);

/* Whether nothing has arrived that was not taken, and nothing failed. */
bool stream_is_clean(const struct stream *stream);

/* Sends what was put into `out`. 0; -ENOMEM it did not fit in there; errors as of stream_fill(). */
int stream_send(struct stream *stream);

/* Whether the next read finds something without a wait: bytes, or an end. */
bool stream_has_arrived(struct stream *stream);

/* What has arrived and was not taken: *ret_length bytes. They are there until the next call. */
const uint8_t *stream_peek(const struct stream *stream, size_t *ret_length);

/* Takes bytes that can be peeked at. */
void stream_take(struct stream *stream, size_t n);

/*
 * Waits until there is more to peek at than before. 0; -ETIMEDOUT; -EINTR it was cancelled or stopped; -ECONNRESET the other side has closed;
 * -EIO TLS has failed, or the buffer is full; -EMFILE, -ENOMEM.
 */
int stream_fill(struct stream *stream);

/* The same without a wait: 1; 0 nothing has arrived; errors as of stream_fill(). */
int stream_fill_now(struct stream *stream);

/* Waits as stream_fill() does, but for a `cancel` of its own, which leaves the stream as it is: after that -EINTR it can be read on. */
int stream_fill_unless(struct stream *stream, const atomic_bool *cancel);

/* The next n bytes. 0; errors as of stream_fill(). */
int stream_read(struct stream *stream, void *to, size_t n);

/* Passes over the next n bytes. */
int stream_skip(struct stream *stream, uint64_t n);

/* What TLS has to say of an error, as transport_explain(). */
int stream_explain(const struct stream *stream, const struct endpoint *server, struct error *error);

#endif
