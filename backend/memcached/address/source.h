/*
 * Which Memcached servers, and who asks.
 *
 *   memcached://[user[:password]@]host[:port][,host[:port]…]     an IPv6 address stands in brackets
 *   memcached:///path.sock[,/path.sock…]                         unix sockets; they may be mixed with hosts
 *
 * or, as CACHEKIT_MEMCACHED_SERVERS has them for the SDK, a JSON array of "host:port".
 *
 * User, password, hosts and paths of a URL are percent-decoded. A server that is named twice is one.
 */
#ifndef CKFS_MEMCACHED_SOURCE_H
#define CKFS_MEMCACHED_SOURCE_H

#include "backend/remote/address.h"

#define MEMCACHED_PORT 11211

/* One server. */
struct mc_node {
	struct endpoint at;
	char *name; /* by which keys are placed, as pymemcache has it: "host:port", the host without brackets; of a socket its path */
};

struct mc_source {
	struct mc_node *nodes;
	size_t count; /* up to ADDRESSES_MAX */
	char *user, *password; /* NULL: none; borrowed by nobody */
};

/*
 * Reads what follows the "://" of a URL. *ret_shown: the whole URL without a password, owned by the caller. 0; -EINVAL, -ENOMEM with the error
 * set, which never holds a password.
 */
int mc_source_read(const char *rest, struct mc_source *ret, char **ret_shown, struct error *error);

/* The same of the SDK's variable, whose name begins the error. */
int mc_source_read_list(const char *variable, const char *list, struct mc_source *ret, char **ret_shown, struct error *error);

/* Wipes and frees. */
void mc_source_done(struct mc_source *source);

#endif
