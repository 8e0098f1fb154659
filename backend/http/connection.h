/*
 * Connections to the service: handles of libcurl, each with at most one connection that is kept, lent by a pool (remote/pool.h) to one request at a time.
 * libcurl connects with the first request, and again when the other side has closed meanwhile.
 */
#ifndef CKFS_HTTP_CONNECTION_H
#define CKFS_HTTP_CONNECTION_H

#include "answer.h"

#include "backend/remote/pool.h"
#include "backend/remote/tls_settings.h"

/* How the service is reached. Borrowed texts. */
struct http_target {
	const char *host;     /* for messages */
	int port;
	const struct tls_settings *tls;
	const char *ca_file, *ca_dir; /* NULL: libcurl's usual one; none, where -o tls_ca= is all that is trusted */
};

/* Before any thread is started. 0, -ENOMEM. */
int http_library_init(void);

extern const struct pool_ops http_pool_ops;

/* What is asked of a path. */
struct http_question {
	const char *path;        /* "/v1/cache/…", which follows the URL of the service */
	struct spool *spool;     /* where a value that is answered is made; NULL: none is wanted */
	bool text;               /* a text is wanted. Else what is answered is its status */
	const char *method;      /* of a change; NULL: GET */
	const struct slice *body; /* of a change; NULL: it has none */
	const char *headers[2];  /* of a change, whole lines; NULL: no more */
};

/* One request, and what is answered. */
struct http_request {
	const struct http_target *target;
	const struct http_question *question;
	const char *url;
	const char *token;
	struct answer *answer;
	struct error *error;  /* set with the result */
};

/*
 * Sends a request and takes its answer, whatever its status is, over a connection of a pool; arg: struct http_request. For pool_ask(). 0; -ETIMEDOUT nothing has arrived for the
 * pool's timeout; -EINTR it was cancelled or stopped; -ECONNREFUSED, -EHOSTUNREACH; -EACCES a certificate is not good; -EFBIG; -EIO the answer is broken;
 * a change that was sent, whatever kept its answer away, is -ETIMEDOUT, and it is not sent again: it was made or not;
 * -EMFILE, -ENOMEM, -ENOSPC…; with the error set.
 */
int http_connection_ask(struct pooled *pooled, void *arg);

#endif
