/*
 * One connection to a Redis server: commands are put into it, sent, and their replies read in order. One thread at a time.
 *
 * After a reply that makes no sense its stream is broken, as after an error of the transport.
 */
#ifndef CKFS_REDIS_CONNECTION_H
#define CKFS_REDIS_CONNECTION_H

#include "reply.h"
#include "backend/redis/address/target.h"
#include "backend/remote/pool.h"
#include "backend/remote/stream.h"

#include "ckfs/bytes.h"
#include "ckfs/slice.h"

/* The text of a redirection, "host:port", with its NUL. */
#define REDIRECT_MAX 264

/* What is kept of an error's words, with a NUL. */
#define WORDS_MAX 256

/* What a server calls itself. */
struct server_version {
	char name[12];      /* "redis", "valkey"; "": unknown */
	unsigned number[3]; /* major, minor, patch */
};

struct redis_connection {
	struct pooled pooled;      /* its era is the round of the listener that it was set up with */
	struct server_version version; /* of the server that it has reached */
	bool lacks_expiretime;     /* as this server has said: one before 7.0 */
	bool armed;                /* that listener hears when what is read here changes, but for what is asked with ASKING */
	int unsent;                /* -errno: a part of what was put could not be sent, and the stream is broken */
	uint64_t heads_owed;       /* heads that are still to be read */
	uint64_t string_owed;      /* bytes of the last string that are still to be read, its end included */
	bool asking;               /* each command is put with an ASKING before it, whose answer is not shown */
	uint64_t nested;           /* heads that are still to be read of the reply that is being read */
	char redirect[REDIRECT_MAX]; /* where the last REPLY_MOVED or REPLY_ASK points to */
	char words[WORDS_MAX]; /* of the last error, as they came */
	int64_t paged_at; /* monotonic ms: when a page of SCAN was last asked for; 0: never */
	struct stream stream; /* last: its buffer is not cleared */
};

/* --- wire/connect.c --- */

/*
 * Connects and logs in: AUTH, SELECT, a name, NO-TOUCH where it is known to work (wire/version.h).
 * 0; -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -EACCES, -EAGAIN, -EMFILE, -EIO, -ENOMEM with the error set.
 */
int connection_open(const struct redis_target *target, int timeout_ms, struct redis_connection **ret, struct error *error);
void connection_close(struct redis_connection *connection);

/* --- wire/connection.c --- */

/* The round in which a listener hears when what is read now changes; 0: none does. */
uint64_t connection_announced(const struct redis_connection *connection);

/* Whether all that was asked for was read, so that it can serve again. */
bool connection_is_clean(const struct redis_connection *connection);

/* Puts a command. When much waits already, that is sent, but not the end of this one. What fails is told by connection_send(). */
void connection_put(struct redis_connection *connection, const struct bytes *words, size_t count);

/* The same with words of text, NULL-terminated. */
void connection_put_text(struct redis_connection *connection, ...) __attribute__((sentinel));

/* Sends what was put. 0, -errno. */
int connection_send(struct redis_connection *connection);

/* Puts a command with a value as its third word, and sends what is before that and all of the value: what comes behind is sent by connection_send(). 0, -errno. */
int connection_put_value(struct redis_connection *connection, const struct bytes *words, size_t count, const struct slice *value);

/*
 * The next head. 0; -ETIMEDOUT; -EINTR it was cancelled or stopped; -ECONNRESET the server has closed; -EIO garbled. Its text is there until the
 * next read.
 */
int connection_head(struct redis_connection *connection, struct reply *ret);

/* A head that must be of a kind: as above, and what reply_errno() says of an error. */
int connection_integer(struct redis_connection *connection, int64_t *ret);
int connection_length(struct redis_connection *connection, uint64_t *ret); /* of a string: 0 to REPLY_STRING_MAX */
int connection_status(struct redis_connection *connection);
int connection_status_or_nil(struct redis_connection *connection); /* 1 a status, 0 nil */
int connection_array(struct redis_connection *connection, int64_t *ret_count);
int connection_pong(struct redis_connection *connection); /* of a PING: one who serves readers alone has answered, too */

/* The head of a string of at most `max` bytes, which the caller reads then. 0 and its length; -errno, nil is garbled. */
int connection_string(struct redis_connection *connection, uint64_t max, uint64_t *ret);

/* The same where there may be nothing. 1 and its length; 0: nil; -errno. */
int connection_string_or_nil(struct redis_connection *connection, uint64_t max, uint64_t *ret);

/* The next n bytes, as they are. 0, errors of the transport. */
int connection_read(struct redis_connection *connection, void *to, size_t n);

/* The end of a string whose bytes were read. 0, -errno. */
int connection_string_end(struct redis_connection *connection);

/* A string of at most `max` bytes. *ret: how many they are. 0, -errno. */
int connection_part(struct redis_connection *connection, void *to, size_t max, size_t *ret);

/* A whole string of at most `max` bytes, in memory from malloc with a NUL behind it. *ret NULL: nil. */
int connection_text(struct redis_connection *connection, uint64_t max, char **ret, size_t *ret_length);

/* Passes over the next n bytes. */
int connection_skip(struct redis_connection *connection, uint64_t n);

#endif
