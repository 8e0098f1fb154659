/* A build whose hiredis has no TLS says so when a mount asks for it, and nothing else is ever called. */
#include "tls.h"

#include <errno.h>

int tls_prepare(struct tls_settings *settings, const struct options *options, struct error *error)
{
	(void)options;
	return error_set(error, -EPROTONOSUPPORT, "this build has no TLS, since hiredis had none; "
		"build ckfs with hiredis 1.0 or newer and its hiredis_ssl, or use %s without TLS", settings->words->plain_schemes);
}

void tls_needs(const struct tls_settings *settings, struct sandbox *sandbox)
{
	(void)settings;
	(void)sandbox;
}

int tls_new(const struct endpoint *server, struct tls **ret, struct error *error)
{
	(void)server;
	(void)ret;
	(void)error;
	return -EPROTONOSUPPORT;
}

int tls_start(struct tls *tls, int fd, const struct endpoint *server, int timeout_ms, const atomic_bool *stop, struct error *error)
{
	(void)tls;
	(void)fd;
	(void)server;
	(void)timeout_ms;
	(void)stop;
	(void)error;
	return -EPROTONOSUPPORT;
}

void tls_free(struct tls *tls)
{
	(void)tls;
}

ssize_t tls_receive(struct tls *tls, void *to, size_t n, short *ret_events)
{
	(void)tls;
	(void)to;
	(void)n;
	(void)ret_events;
	return -EPROTONOSUPPORT;
}

ssize_t tls_send(struct tls *tls, const void *from, size_t n, short *ret_events)
{
	(void)tls;
	(void)from;
	(void)n;
	(void)ret_events;
	return -EPROTONOSUPPORT;
}

int tls_explain(const struct tls *tls, const struct endpoint *server, struct error *error)
{
	(void)tls;
	(void)server;
	(void)error;
	return 0;
}
