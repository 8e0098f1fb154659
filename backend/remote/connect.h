/* Connecting a socket, which from then on never blocks: to each address of a host in turn, by hiredis, as long as there is time and anybody wants it. */
#ifndef CKFS_REMOTE_CONNECT_H
#define CKFS_REMOTE_CONNECT_H

#include "address.h"

#include <stdatomic.h>
#include <stdint.h>

/*
 * Connects, within the timeout. *stop (NULL: none) is looked at while it waits, but for the resolver.
 * 0; -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -EINTR it was stopped, -EMFILE, -ENOMEM, … with the error set.
 */
int connect_to(const struct endpoint *server, int timeout_ms, const atomic_bool *stop, int *ret_fd, struct error *error);

/* Waits until a descriptor is ready for some events, until `end` (monotonic ms). 0; -ETIMEDOUT; -EINTR *stop became true; -EMFILE, -ENOMEM. */
int connect_wait(int fd, short events, int64_t end, const atomic_bool *stop);

#endif
