/* The service: a request to it, asked again where that helps, and what is said of it in the log. Any thread. */
#ifndef CKFS_HTTP_SERVICE_H
#define CKFS_HTTP_SERVICE_H

#include "connection.h"
#include "token.h"

#include "backend/http/rules/service_url.h"

/* What there is to log, each on its own. */
enum trouble {
	TROUBLE_REFUSED, /* it refuses the token */
	TROUBLE_BUSY,    /* it has no time */
	TROUBLE_BROKEN,  /* its answer is of no use */
	TROUBLES,
};

struct service {
	struct service_url url;
	struct http_target target;
	struct token token;
	struct tls_settings *tls;
	char *ca_file, *ca_dir; /* owned */
	int timeout_ms;
	const atomic_bool *stop; /* borrowed */
	struct pool pool;
	bool serves;          /* there is a mount: what happens is logged. Before that it is the reason for a failure */
	atomic_bool is_lost; /* it could not be reached the last time */
	atomic_int_least64_t told[TROUBLES]; /* monotonic ms: when that was logged last; 0: never */
};

/*
 * Opens the service at an address, which it takes over, also when it fails. `service`: all zero. `token`: of the environment, or NULL. Asks once whether it is there. Starts no
 * threads. 0; -errno with the error set.
 */
int service_open(struct service *service, struct service_url *url, const struct options *options, const char *token, struct error *error);

/* Frees what it holds, also when it was not opened. */
void service_close(struct service *service);

/* Names what it goes on needing. */
void service_needs(const struct service *service, struct sandbox *sandbox);

/*
 * Asks. 0 and the answer, whose status is
 * one with a body; -ENOENT 404; -EACCES 401 or 403, or a certificate that is not good; -EAGAIN it has no time, and does not say that it has soon; -EIO any other status, or a
 * broken answer; of a change, -EAGAIN also 409, -EROFS 405, -ENOSPC 507; errors as of http_connection_ask(). With the error set, and logged. answer_done() ends the answer, whatever came of it.
 */
int service_ask(struct service *service, const struct http_question *question, const atomic_bool *cancel, struct answer *answer, struct error *error);

#endif
