/* Where servers are: what host[:port] says, one or a list of them, and how one is reached. */
#ifndef CKFS_REMOTE_ADDRESS_H
#define CKFS_REMOTE_ADDRESS_H

#include "tls_settings.h"
#include "url.h"

#include "ckfs/error.h"

#include <stdbool.h>

/* A host name with its NUL. */
#define HOST_MAX 256

/* Servers in a list. */
#define ADDRESSES_MAX 64

struct address {
	char host[HOST_MAX];
	int port;
};

/* One server, and how it is reached. */
struct endpoint {
	char *host; /* NULL: path */
	int port;
	char *path; /* of a unix socket; NULL: host */
	struct tls_settings *tls; /* NULL: no TLS */
};

bool address_equal(const struct address *a, const struct address *b);

/*
 * Reads host[:port], the host in brackets when it is an IPv6 address. No host is localhost, no port or 0 the usual one. `scheme`: what an error
 * begins with, "redis://". *ret_host: decoded; replaced as by part_decode(). 0; -EINVAL, -ENOMEM with the error set.
 */
int host_read(struct part place, const char *scheme, int usual_port, char **ret_host, int *ret_port, struct error *error);

/*
 * Reads host[:port][,host[:port]...]. An empty list is localhost. *ret: from malloc, *ret_count of them, up to ADDRESSES_MAX. 0; -EINVAL, -ENOMEM
 * with the error set.
 */
int addresses_read(struct part list, const char *scheme, int usual_port, struct address **ret, size_t *ret_count, struct error *error);

/* What messages call a server: its socket or its host. */
static inline const char *endpoint_name(const struct endpoint *endpoint)
{
	return endpoint->path ? endpoint->path : endpoint->host;
}

/* Frees all that it holds. */
void endpoint_done(struct endpoint *endpoint);

#endif
