#include "transport.h"

#include "tls.h"

#include <errno.h>
#include <hiredis.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

/* What keeps this machine from the network (a firewall, a route that forbids it) is no answer of the server, whose EACCES is about keys. */
static int network_errno(int number)
{
	switch (number) {
	case EACCES:
	case EPERM:
	case EINVAL:
		return -EHOSTUNREACH;
	case ENOBUFS:
		return -ENOMEM;
	default:
		return -number;
	}
}

/* Why hiredis could not connect. */
static int connect_error(const redisContext *context, int number, const struct endpoint *server, struct error *error)
{
	int r = server->path ? -number : network_errno(number);
	if (!context)
		return error_set(error, -ENOMEM, "no memory");
	/* hiredis does not say that it is an errno when there could be no socket; nor does the resolver. */
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || number == EADDRNOTAVAIL)
		return error_set(error, r, "%.200s: %s%s", endpoint_name(server), strerror(number), number == EADDRNOTAVAIL ? "; are all local ports in use?" : "");
	/* Only the resolver reports what is no errno. */
	if (context->err != REDIS_ERR_IO && !server->path)
		return error_set(error, -EHOSTUNREACH, "%.200s: %s", endpoint_name(server), context->errstr);
	if (r == -ENOENT || r == -ENOTSOCK)
		return error_set(error, -ECONNREFUSED, "%.200s: %s; is the server running?", endpoint_name(server), strerror(number));
	if (r == -EINPROGRESS || r == -EAGAIN || r == 0)
		r = -ETIMEDOUT;
	if (server->path)
		return error_set(error, r, "%.200s: %s", endpoint_name(server), strerror(-r));
	return error_set(error, r, "%.200s port %d: %s%s", endpoint_name(server), server->port, strerror(r == -ETIMEDOUT ? ETIMEDOUT : number),
		r == -ECONNREFUSED ? "; is the server running?" : "");
}

static int connect_to(const struct endpoint *server, int timeout_ms, redisContext **ret, struct error *error)
{
	const struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	if (server->path && strlen(server->path) >= sizeof ((struct sockaddr_un *)NULL)->sun_path)
		return error_set(error, -EINVAL, "%.200s: too long for a socket", server->path);
	errno = 0;
	redisContext *context = server->path ? redisConnectUnixWithTimeout(server->path, timeout)
					     : redisConnectWithTimeout(server->host, server->port, timeout);
	if (!context || context->err) {
		int r = connect_error(context, errno, server, error);
		redisFree(context);
		return r;
	}
	if (!server->path)
		redisEnableKeepAlive(context);
	*ret = context;
	return 0;
}

int transport_open(const struct endpoint *server, int timeout_ms, struct transport *ret, struct error *error)
{
	struct transport transport = {.fd = -1};
	redisContext *context = NULL;
	/* What is wrong with a file is told before anything is sent. */
	int r = server->tls ? tls_new(server, &transport.tls, error) : 0;
	if (r == 0)
		r = connect_to(server, timeout_ms, &context, error);
	if (r == 0 && transport.tls) {
		transport.fd = context->fd;
		r = tls_start(transport.tls, context, server, timeout_ms, error);
	} else if (r == 0) {
		transport.fd = redisFreeKeepFd(context);
	}
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
