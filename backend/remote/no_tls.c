/* A build whose hiredis has no TLS says so when a mount asks for it, and nothing else is ever called. */
#include "redis_tls.h"

#include <errno.h>

int tls_prepare(struct redis_target *target, const struct options *options, struct error *error)
{
	(void)target;
	(void)options;
	return error_set(error, -EPROTONOSUPPORT, "this build has no TLS, since hiredis had none; "
		"build ckfs with hiredis 1.0 or newer and its hiredis_ssl, or use what is without (redis://, redis-cluster://, redis-sentinel://)");
}

int tls_new(const struct redis_target *target, struct tls **ret, struct error *error)
{
	(void)target;
	(void)ret;
	(void)error;
	return -EPROTONOSUPPORT;
}

int tls_start(struct tls *tls, struct redisContext *context, const struct redis_target *target, int timeout_ms, struct error *error)
{
	(void)tls;
	(void)context;
	(void)target;
	(void)timeout_ms;
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

int tls_explain(const struct tls *tls, const struct redis_target *target, struct error *error)
{
	(void)tls;
	(void)target;
	(void)error;
	return 0;
}
