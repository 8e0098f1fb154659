/*
 * The URL of a CacheKit service, and which hosts the SDK would send its key to.
 *
 *   https://HOST[:PORT][/PATH][?…][#…]
 *
 * HOST is a name of ASCII letters, digits, '-', '_' and '.', an IPv4 address, or an IPv6 address in brackets, maybe with a %zone. What follows '?'
 * or '#' is ignored, as the SDK does. Other characters, a user or a password are refused.
 */
#ifndef CKFS_HTTP_SERVICE_URL_H
#define CKFS_HTTP_SERVICE_URL_H

#include "ckfs/error.h"

#include <stdbool.h>

struct service_url {
	char *host; /* lower case, without brackets */
	int port;
	char *base; /* "https://HOST[:PORT][/PATH]", without a '/' at its end: what all paths of requests follow */
};

/* Reads what follows the "https://". 0; -EINVAL, -ENOMEM with the error set, which repeats nothing but the host. */
int service_url_read(const char *location, struct service_url *ret, struct error *error);

/*
 * Whether the SDK takes this host: no private or local one, however it is written, and only CacheKit's own unless others are allowed. It asks no
 * resolver. 0; -EINVAL with the error set.
 */
int service_url_check_host(const struct service_url *url, bool allow_custom_host, struct error *error);

/* Frees what it holds. */
void service_url_done(struct service_url *url);

#endif
