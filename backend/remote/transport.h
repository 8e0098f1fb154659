/*
 * How bytes go to a server and come back: a socket, or TLS over one.
 *
 * To receive and to send never waits: -EAGAIN says what the descriptor must be ready for first (POLLIN, POLLOUT), which TLS may choose
 * another way round than one expects. One thread receives; others may send and shut down meanwhile.
 */
#ifndef CKFS_REMOTE_TRANSPORT_H
#define CKFS_REMOTE_TRANSPORT_H

#include "address.h"

#include "ckfs/sandbox.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

struct tls;

struct transport {
	int fd;          /* to wait for; -1: not open */
	struct tls *tls; /* NULL: plain */
};

/* Names what a server is reached by: its socket, or the network and the files of TLS. */
void transport_needs(const struct endpoint *server, struct sandbox *sandbox);

/*
 * Connects, within the timeout, and so does the handshake of TLS. *ret is set only then.
 * 0; -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -EINTR *stop (NULL: none) became true, -EACCES a certificate is not good, -EMFILE, -EIO, … with the error set.
 */
int transport_open(const struct endpoint *server, int timeout_ms, const atomic_bool *stop, struct transport *ret, struct error *error);

/* Nothing else uses it any more. */
void transport_close(struct transport *transport);

/* Ends it for whoever waits for it. */
void transport_shut_down(const struct transport *transport);

/* At least one byte, at most n. Bytes; -EAGAIN, -ECONNRESET the other side has closed, -ETIMEDOUT, -EIO. */
ssize_t transport_receive(struct transport *transport, void *to, size_t n, short *ret_events);
ssize_t transport_send(struct transport *transport, const void *from, size_t n, short *ret_events);

/* After an error: what TLS has to say of it. 0: nothing; -EACCES a certificate is missing or not good, -EIO; with the error set. */
int transport_explain(const struct transport *transport, const struct endpoint *server, struct error *error);

#endif
