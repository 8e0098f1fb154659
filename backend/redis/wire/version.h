/*
 * Which server answers, and which commands have ended servers of its version. A mount that reads must not be able to take a server down.
 *
 * HELLO without a word (Redis 6.0 and later, no right needed) tells a name and a version. A server that does not know it, or that was told to hide it, has
 * no known version.
 */
#ifndef CKFS_REDIS_VERSION_H
#define CKFS_REDIS_VERSION_H

#include "connection.h"

/* Reads the reply to HELLO. 0, errors of the transport. *ret: name "" if the server does not tell. */
int server_version_read(struct redis_connection *connection, struct server_version *ret);

/* What a server says of itself. *ret: name "" if that is no version. */
void server_version_parse(const char *name, const char *version, struct server_version *ret);

/* Whether CLIENT NO-TOUCH is known to work there. What is not known is not tried. */
bool server_bears_no_touch(const struct server_version *version);

/* Whether CLIENT TRACKING does no harm there. What is not known does none: it is in use everywhere. */
bool server_bears_tracking(const struct server_version *version);

/* Whether SET takes GET there, by which it refuses to store over what is no string. What is not known is not believed to. */
bool server_tells_old_values(const struct server_version *version);

#endif
