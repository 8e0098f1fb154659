/*
 * One connection to a Memcached server: its login, what the server tells of itself, and lines. One thread at a time.
 *
 * After a line that makes no sense its stream is broken, as after an error of the transport.
 */
#ifndef CKFS_MEMCACHED_CONNECTION_H
#define CKFS_MEMCACHED_CONNECTION_H

#include "reply.h"

#include "backend/remote/pool.h"
#include "backend/remote/stream.h"

/* Who asks. All of it is borrowed. */
struct mc_login {
	const char *user, *password; /* NULL: none */
	struct password_file *password_file; /* takes the place of the password; NULL: none */
};

/* What a server tells of itself (`stats` and `stats settings`). What it does not tell is 0. */
struct mc_server_facts {
	char version[24];
	uint64_t pid, uptime, time;  /* seconds; time: since 1970, by its clock */
	uint64_t connections;        /* that were made since it was started */
	uint64_t used, max;          /* bytes of its values, and what they may take */
	uint64_t item_max;           /* bytes of its largest item */
	bool no_cas;                 /* it counts no versions (-C) */
	bool no_dump;                /* it lists no keys (-X, -o no_lru_crawler) */
	bool is_early;               /* before 1.6.10: its command to store has another form, and takes a value for commands */
};

struct mc_connection {
	struct pooled pooled;
	uint64_t process;     /* tells which server process it has reached; no other has it */
	int64_t ahead;        /* seconds by which the server's clock is ahead of ours */
	bool owes;            /* an answer that was not read to its end */
	uint32_t put, read;   /* questions that were put, and answers that were read: each question carries its number, and so does its answer */
	struct stream stream; /* last: its buffer is not cleared */
};

/*
 * Connects, logs in, and asks what the server is. 0; -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -EACCES, -EAGAIN, -EMFILE, -EIO, -ENOMEM, and
 * -EPROTONOSUPPORT it is too old; with the error set.
 */
int mc_connection_open(const struct endpoint *at, const struct mc_login *login, int timeout_ms, const atomic_bool *stop,
	struct mc_server_facts *ret_facts, struct mc_connection **ret, struct error *error);
void mc_connection_close(struct mc_connection *connection);

/* The next line, without its end, until the next read. 0; -ETIMEDOUT, -EINTR, -ECONNRESET; -EIO it has no end. */
int mc_connection_line(struct mc_connection *connection, const char **ret, size_t *ret_length);

/*
 * Reads the line that answers the next question; each has to carry its number (O), which put++ gives it. 0 and *ret, which may be of a kind that the
 * question cannot have; -ENOENT a miss; -errno, as mc_errno() has it: the connection may serve on after that, unless it is -EIO.
 */
int mc_connection_reply(struct mc_connection *connection, struct mc_reply *ret);

/* The statistics of a server, again. 0, -errno. */
int mc_connection_facts(struct mc_connection *connection, struct mc_server_facts *ret);

#endif
