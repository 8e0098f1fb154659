/*
 * One connection to a Redis server: commands are put into it, sent, and their replies read in order. One thread at a time.
 *
 * What arrives is read into a small buffer; the bytes of a string go from the socket to where they belong, with no copy
 * between. After an error of the transport, or a reply that makes no sense, it is `broken` and of no use any more.
 */
#ifndef CKFS_REDIS_CONNECTION_H
#define CKFS_REDIS_CONNECTION_H

#include "redis_reply.h"
#include "redis_transport.h"

#include "ckfs/buf.h"
#include "ckfs/busy_poll.h"

#include <stdatomic.h>
#include <stdbool.h>

#define CONNECTION_BUFFER (32u << 10)

/* The text of a redirection, "host:port", with its NUL. */
#define REDIRECT_MAX 264

/* What a server calls itself. */
struct server_version {
	char name[12];      /* "redis", "valkey"; "": unknown */
	unsigned number[3]; /* major, minor, patch */
};

struct redis_connection {
	struct transport transport;
	int timeout_ms;            /* the longest wait without progress; -1: for ever */
	const atomic_bool *stop;   /* looked at while waiting; NULL: none */
	const atomic_bool *cancel; /* the same, with some patience; NULL: none */
	int64_t cancel_at;         /* monotonic ms: when that ends; 0: it has not begun */
	atomic_uint_least64_t *progress; /* counts whenever something arrives; NULL: nobody looks */
	struct busy_poll busy_poll; /* how fast the server answers here */
	bool broken;
	bool used;                 /* it has served before: the server may have closed it since */
	struct server_version version; /* of the server that it has reached */
	uint64_t round;            /* of the listener that it was set up with */
	uint64_t serial;           /* no other connection of its pool has it */
	bool armed;                /* that listener hears when what is read here changes, but for what is asked with ASKING */
	uint64_t heads_owed;       /* heads that are still to be read */
	uint64_t string_owed;      /* bytes of the last string that are still to be read, its end included */
	bool asking;               /* each command is put with an ASKING before it, whose answer is not shown */
	uint64_t nested;           /* heads that are still to be read of the reply that is being read */
	char redirect[REDIRECT_MAX]; /* where the last REPLY_MOVED or REPLY_ASK points to */
	int64_t answered_ms;       /* when the first bytes came after what was sent last, by clock_ms(); 0: none have */
	int64_t paged_at; /* monotonic ms: when a page of SCAN was last asked for; 0: never */
	struct buf out;            /* commands that were not sent yet */
	size_t at, filled;
	uint8_t in[CONNECTION_BUFFER];
};

/* --- redis_connect.c --- */

/*
 * Connects and logs in: AUTH, SELECT, a name, NO-TOUCH where it is known to work (redis_version.h).
 * 0; -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -EACCES, -EAGAIN, -EMFILE, -EIO, -ENOMEM with the error set.
 */
int connection_open(const struct redis_target *target, int timeout_ms, struct redis_connection **ret, struct error *error);
void connection_close(struct redis_connection *connection);

/* --- redis_connection.c --- */

/* Who reads from here on may go away, and set *cancel then. What is nearly there is still read: a new connection costs more. */
void connection_set_cancel(struct redis_connection *connection, const atomic_bool *cancel);

/* The round in which a listener hears when what is read now changes; 0: none does. */
uint64_t connection_announced(const struct redis_connection *connection);

/* Whether all that was asked for was read, so that it can serve again. */
bool connection_is_clean(const struct redis_connection *connection);

/* Puts a command. What fails for want of memory is told by connection_send(). */
void connection_put(struct redis_connection *connection, const struct bytes *words, size_t count);

/* The same with words of text, NULL-terminated. */
void connection_put_text(struct redis_connection *connection, ...) __attribute__((sentinel));

/* Sends what was put. 0, -errno. */
int connection_send(struct redis_connection *connection);

/* Whether the next read finds something without a wait: bytes, or an end. */
bool connection_has_arrived(struct redis_connection *connection);

/*
 * The next head. 0; -ETIMEDOUT; -EINTR it was cancelled or stopped; -ECONNRESET the server has closed; -EIO garbled. Its text is there until the
 * next read.
 */
int connection_head(struct redis_connection *connection, struct reply *ret);

/* A head that must be of a kind: as above, and what reply_errno() says of an error. */
int connection_integer(struct redis_connection *connection, int64_t *ret);
int connection_status(struct redis_connection *connection);
int connection_array(struct redis_connection *connection, int64_t *ret_count);

/* The head of a string of at most `max` bytes, which the caller reads then. *ret: its length, -1: nil. */
int connection_string(struct redis_connection *connection, int64_t max, int64_t *ret);

/* The next n bytes, as they are. 0, errors of the transport. */
int connection_read(struct redis_connection *connection, void *to, size_t n);

/* The end of a string whose bytes were read. 0, -errno. */
int connection_string_end(struct redis_connection *connection);

/* A string of at most `max` bytes; nil is one of none. *ret: how many they are. 0, -errno. */
int connection_part(struct redis_connection *connection, void *to, size_t max, size_t *ret);

/* A whole string of at most `max` bytes, in memory from malloc with a NUL behind it. *ret NULL: nil. */
int connection_text(struct redis_connection *connection, int64_t max, char **ret, size_t *ret_length);

/* Passes over the next n bytes. */
int connection_skip(struct redis_connection *connection, uint64_t n);

#endif
