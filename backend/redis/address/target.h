/*
 * Which Redis server, and who asks: what a URL says, read as redis-py reads it.
 *
 *   redis://[user[:password]@]host[:port][/db][?db=N]
 *   rediss://… the same, with TLS
 *   unix://[user[:password]@]/path.sock[?db=N]
 *
 * User, password, host and path are percent-decoded. In the query, `db` wins over the path; `username` and `password` count
 * where there is none before the "@". With TLS:
 *
 *   ssl_ca_certs=FILE, ssl_ca_path=DIR     CAs to trust besides those of the system
 *   ssl_certfile=FILE, ssl_keyfile=FILE    our certificate and its key; without the latter the former holds both
 *   ssl_cert_reqs=required|optional|none   none: whatever the server shows is good. optional is required: a server always shows one
 *   ssl_check_hostname=BOOLEAN             0, f, false, n, no: the certificate may be for another name
 *
 * Other members of a query are settings of redis-py, and are skipped.
 */
#ifndef CKFS_REDIS_TARGET_H
#define CKFS_REDIS_TARGET_H

#include "backend/remote/address.h"
#include "backend/remote/password.h"

#include "ckfs/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define REDIS_PORT 6379

/* Advice of messages where a single server answers for a cluster or a sentinel. */
#define USE_SINGLE "for a single server use redis://HOST or rediss://HOST"

enum target_kind { TARGET_TCP, TARGET_UNIX, TARGET_TLS };

struct redis_target {
	struct endpoint at;
	char *user; /* NULL: none */
	char *password; /* NULL: none */
	struct password_file *password_file; /* takes the place of the password; borrowed; NULL: none */
	int64_t db;
	bool is_sentinel; /* it has no databases */
	const atomic_bool *stop; /* all that waits for the server gives up when this is true; borrowed; NULL: none */
};

/*
 * Reads what follows the "://" of a URL. *ret_shown: the same without a password and ssl_…, owned by the caller.
 * 0; -EINVAL, -ENOMEM with the error set, which never holds a password.
 */
int redis_target_read(const char *rest, enum target_kind kind, struct redis_target *ret, char **ret_shown, struct error *error);

/* Whether it has to be given a login. */
static inline bool redis_target_has_password(const struct redis_target *target)
{
	return target->password || target->password_file;
}

/* Whether all that waits for the server gives up. */
static inline bool redis_target_is_stopped(const struct redis_target *target)
{
	return target->stop && atomic_load(target->stop);
}

/* Wipes and frees. */
void redis_target_done(struct redis_target *target);

#endif
