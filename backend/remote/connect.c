#include "connect.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* How often a wait looks whether it was stopped. */
#define LOOK_MS 50

/* A server that is silent for so many seconds is asked whether it is there, so many times. */
#define KEEPALIVE_SECONDS 15
#define KEEPALIVE_PROBES 3

int connect_wait(int fd, short events, int64_t end, const atomic_bool *stop)
{
	struct pollfd p = {.fd = fd, .events = events};
	for (int64_t left; (left = end - clock_ms()) > 0;) {
		if (stop && atomic_load(stop))
			return -EINTR;
		int n = poll(&p, 1, left < LOOK_MS ? (int)left : LOOK_MS);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return errno == ENOMEM ? -ENOMEM : -EMFILE;
	}
	return -ETIMEDOUT;
}

/* --- what went wrong --- */

/* What keeps this machine from the network (a firewall, a route that forbids it) is no answer of the server, whose EACCES is about keys. */
static int network_errno(int r)
{
	switch (r) {
	case -EACCES:
	case -EPERM:
	case -EINVAL:
		return -EHOSTUNREACH;
	case -ENOBUFS:
		return -ENOMEM;
	default:
		return r;
	}
}

/* What this process lacks is no matter of one address. */
static bool is_lack(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS;
}

/* Why there is no connection. `said`: -errno, as it came. */
static int fail(const struct endpoint *server, int said, struct error *error)
{
	int r = server->path ? said : network_errno(said);
	if (is_lack(r) || r == -EINTR || r == -EADDRNOTAVAIL)
		return error_set(error, r, "%.200s: %s%s", endpoint_name(server), strerror(-said), r == -EADDRNOTAVAIL ? "; are all local ports in use?" : "");
	if (r == -ENOENT || r == -ENOTSOCK)
		return error_set(error, -ECONNREFUSED, "%.200s: %s; is the server running?", endpoint_name(server), strerror(-said));
	/* A unix socket says so of a server that takes no more connections just now. */
	if (r == -EAGAIN)
		r = -ETIMEDOUT;
	if (server->path)
		return error_set(error, r, "%.200s: %s", endpoint_name(server), strerror(-r));
	return error_set(error, r, "%.200s port %d: %s%s", endpoint_name(server), server->port, strerror(r == -ETIMEDOUT ? ETIMEDOUT : -said),
		r == -ECONNREFUSED ? "; is the server running?" : "");
}

/* --- one address --- */

/* The descriptor that hiredis gives, which connects in the background. `host` is numeric. */
static int begin(const struct endpoint *server, const char *host, int *ret_fd)
{
	errno = 0;
	redisContext *context = server->path ? redisConnectUnixNonBlock(server->path) : redisConnectNonBlock(host, server->port);
	const int number = context && context->err ? errno : 0;
	if (!context)
		return -ENOMEM;
	if (context->err) {
		redisFree(context);
		return number ? -number : -EHOSTUNREACH;
	}
	*ret_fd = redisFreeKeepFd(context);
	(void)fcntl(*ret_fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

static int connect_address(const struct endpoint *server, const char *host, int64_t end, const atomic_bool *stop, int *ret_fd)
{
	struct sockaddr_storage peer;
	int fd = -1, number = 0;
	socklen_t size = sizeof number, peer_size = sizeof peer;
	int r = begin(server, host, &fd);
	if (r < 0)
		return r;
	r = connect_wait(fd, POLLOUT, end, stop);
	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) < 0)
		number = errno;
	/* A unix socket of a server that takes no more connections just now is ready, and connected to nobody. */
	if (r == 0 && number == 0 && getpeername(fd, (struct sockaddr *)&peer, &peer_size) < 0)
		number = errno == ENOTCONN ? EAGAIN : errno;
	if (r == 0)
		r = -number;
	if (r < 0)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

/* --- a server --- */

static int connect_path(const struct endpoint *server, int64_t end, const atomic_bool *stop, int *ret_fd, struct error *error)
{
	if (strlen(server->path) >= sizeof ((struct sockaddr_un *)NULL)->sun_path)
		return error_set(error, -EINVAL, "%.200s: too long for a socket", server->path);
	int r = connect_address(server, NULL, end, stop, ret_fd);
	return r < 0 ? fail(server, r, error) : 0;
}

/* IPv6 for hosts that have nothing else. */
static int resolve(const struct endpoint *server, struct addrinfo **ret, struct error *error)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	char port[16];
	snprintf(port, sizeof port, "%d", server->port);
	errno = 0;
	int failure = getaddrinfo(server->host, port, &hints, ret);
	hints.ai_family = AF_INET6;
	if (failure)
		failure = getaddrinfo(server->host, port, &hints, ret);
	if (!failure)
		return 0;
	/* The resolver does not say so when it could have no socket. */
	if (failure == EAI_MEMORY || is_lack(-errno))
		return fail(server, failure == EAI_MEMORY ? -ENOMEM : -errno, error);
	return error_set(error, -EHOSTUNREACH, "%.200s: %s", server->host, gai_strerror(failure));
}

/* What is said soon, and what finds out that a server is gone without a word. */
static void set_up(int fd)
{
	static const struct {
		int level, name, value;
	} settings[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_SECONDS},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_SECONDS / KEEPALIVE_PROBES},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
	};
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
		setsockopt(fd, settings[i].level, settings[i].name, &settings[i].value, sizeof settings[i].value);
}

static int connect_host(const struct endpoint *server, int64_t end, const atomic_bool *stop, int *ret_fd, struct error *error)
{
	struct addrinfo *list = NULL;
	int left = 0;
	int r = resolve(server, &list, error);
	if (r < 0)
		return r;
	for (const struct addrinfo *a = list; a; a = a->ai_next)
		left++;
	r = -EHOSTUNREACH;
	for (const struct addrinfo *a = list; a; a = a->ai_next, left--) {
		/* One that does not answer leaves time for the others. */
		const int64_t now = clock_ms(), until = now + (end - now) / left;
		char host[NI_MAXHOST];
		if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST) == 0)
			r = connect_address(server, host, until, stop, ret_fd);
		if (r == 0 || r == -EINTR || is_lack(r))
			break;
	}
	freeaddrinfo(list);
	if (r < 0)
		return fail(server, r, error);
	set_up(*ret_fd);
	return 0;
}

int connect_to(const struct endpoint *server, int timeout_ms, const atomic_bool *stop, int *ret_fd, struct error *error)
{
	const int64_t end = clock_ms() + timeout_ms;
	return server->path ? connect_path(server, end, stop, ret_fd, error) : connect_host(server, end, stop, ret_fd, error);
}
