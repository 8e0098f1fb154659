/*
 * TLS over a socket that is connected: OpenSSL, by way of hiredis_ssl. A build without that has no_tls.c in its place.
 *
 * The certificate of the server and the name in it are checked by OpenSSL in the handshake; hiredis_ssl alone would not look at the name.
 */
#ifndef CKFS_REMOTE_TLS_H
#define CKFS_REMOTE_TLS_H

#include "address.h"

#include "ckfs/sandbox.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

struct tls;

/* Settles what is asked for, while the caller's directory is the current one. 0; -errno with the error set. */
int tls_prepare(struct tls_settings *settings, const struct options *options, struct error *error);

/* Names the files that are read anew. */
void tls_needs(const struct tls_settings *settings, struct sandbox *sandbox);

/* Reads the files, each time anew, so that a certificate can be renewed. 0; -EACCES, -ENOMEM with the error set. */
int tls_new(const struct endpoint *server, struct tls **ret, struct error *error);

/*
 * The handshake, over a descriptor that does not block; takes that over, also when it fails.
 * 0; -EACCES a certificate is not good; -ETIMEDOUT, -EINTR *stop (NULL: none) became true, -EIO, -ENOMEM; with the error set.
 */
int tls_start(struct tls *tls, int fd, const struct endpoint *server, int timeout_ms, const atomic_bool *stop, struct error *error);

/* Closes the descriptor too. NULL is allowed. */
void tls_free(struct tls *tls);

/* As transport_receive() and transport_send(). Threads may call them at the same time. */
ssize_t tls_receive(struct tls *tls, void *to, size_t n, short *ret_events);
ssize_t tls_send(struct tls *tls, const void *from, size_t n, short *ret_events);

/* As transport_explain(). */
int tls_explain(const struct tls *tls, const struct endpoint *server, struct error *error);

#endif
