#include "transport.h"

#include "connect.h"
#include "tls.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

void transport_needs(const struct endpoint *server, struct sandbox *sandbox)
{
	if (server->path) {
		sandbox_allow(sandbox, SANDBOX_CONNECT, server->path);
		return;
	}
	sandbox_allow_network(sandbox);
	if (server->tls)
		tls_needs(server->tls, sandbox);
}

int transport_open(const struct endpoint *server, int timeout_ms, const atomic_bool *stop, struct transport *ret, struct error *error)
{
	struct transport transport = {.fd = -1};
	/* What is wrong with a file is told before anything is sent. */
	int r = server->tls ? tls_new(server, &transport.tls, error) : 0;
	if (r == 0)
		r = connect_to(server, timeout_ms, stop, &transport.fd, error);
	if (r == 0 && transport.tls)
		r = tls_start(transport.tls, transport.fd, server, timeout_ms, stop, error);
	if (r < 0)
		tls_free(transport.tls);
	else
		*ret = transport;
	return r;
}

void transport_close(struct transport *transport)
{
	if (transport->tls)
		tls_free(transport->tls);
	else if (transport->fd >= 0)
		close(transport->fd);
	*transport = (struct transport){.fd = -1};
}

void transport_shut_down(const struct transport *transport)
{
	shutdown(transport->fd, SHUT_RDWR);
}

ssize_t transport_receive(struct transport *transport, void *to, size_t n, short *ret_events)
{
	if (transport->tls)
		return tls_receive(transport->tls, to, n, ret_events);
	for (;;) {
		ssize_t got = recv(transport->fd, to, n, MSG_DONTWAIT);
		if (got > 0)
			return got;
		if (got == 0)
			return -ECONNRESET;
		if (errno == EAGAIN) {
			*ret_events = POLLIN;
			return -EAGAIN;
		}
		if (errno != EINTR)
			return errno == ETIMEDOUT ? -ETIMEDOUT : -ECONNRESET;
	}
}

ssize_t transport_send(struct transport *transport, const void *from, size_t n, short *ret_events)
{
	if (transport->tls)
		return tls_send(transport->tls, from, n, ret_events);
	for (;;) {
		ssize_t put = send(transport->fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (put > 0)
			return put;
		if (errno == EAGAIN) {
			*ret_events = POLLOUT;
			return -EAGAIN;
		}
		if (errno != EINTR)
			return -ECONNRESET;
	}
}

int transport_explain(const struct transport *transport, const struct endpoint *server, struct error *error)
{
	return transport->tls ? tls_explain(transport->tls, server, error) : 0;
}
