#include "connect.h"
#include "tls.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <hiredis.h>
#include <hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A record is at most 16 KiB: several are taken from the socket at once. */
#define READ_AHEAD ((size_t)64 << 10)

struct tls {
	pthread_mutex_t lock;  /* OpenSSL takes one thread at a time */
	SSL *ssl;
	redisContext *context; /* NULL: not started */
	bool lent;             /* the context frees `ssl` */
	unsigned long failure; /* OpenSSL's code; 0: none */
};

/* --- what is needed before connecting --- */

int tls_prepare(struct tls_settings *settings, const struct options *options, struct error *error)
{
	return tls_settings_settle(settings, options, error);
}

/* As OpenSSL looks for it. */
static const char *system_path(const char *variable, const char *usual)
{
	const char *path = secure_getenv(variable);
	return path ? path : usual;
}

void tls_needs(const struct tls_settings *settings, struct sandbox *sandbox)
{
	const char *const files[] = {settings->ca_file, settings->cert_file, settings->key_file};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (files[i])
			sandbox_allow(sandbox, SANDBOX_READ, files[i]);
	if (settings->ca_dir)
		sandbox_allow_ca_directories(sandbox, settings->ca_dir);
	if (settings->only_ca_file)
		return;
	sandbox_allow(sandbox, SANDBOX_READ, system_path(X509_get_default_cert_file_env(), X509_get_default_cert_file()));
	sandbox_allow_ca_directories(sandbox, system_path(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
}

/* Nobody is there to be asked for the passphrase of a key. */
static int no_passphrase(char *to, int size, int writing, void *arg)
{
	(void)to;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

/* What is wrong with files of ours is EIO: no server has refused anything. */
static int load_cas(SSL_CTX *ctx, const struct tls_settings *s, struct error *error)
{
	if (!s->only_ca_file && SSL_CTX_set_default_verify_paths(ctx) != 1)
		return error_set(error, -EIO, "%s: the system's CA certificates cannot be loaded; give others with -o tls_ca=FILE",
			s->words->scheme);
	if (s->ca_file && SSL_CTX_load_verify_locations(ctx, s->ca_file, NULL) != 1)
		return error_set(error, -EIO, "%.300s: contains no CA certificates (PEM)", s->ca_file);
	if (s->ca_dir && SSL_CTX_load_verify_locations(ctx, NULL, s->ca_dir) != 1)
		return error_set(error, -EIO, "%.300s: not a directory of CA certificates", s->ca_dir);
	return 0;
}

static int load_certificate(SSL_CTX *ctx, const struct tls_settings *s, struct error *error)
{
	const char *key = s->key_file ? s->key_file : s->cert_file;
	if (!s->cert_file)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ctx, s->cert_file) != 1)
		return error_set(error, -EIO, "%.300s: contains no certificate (PEM)", s->cert_file);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1)
		return 0;
	if (ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509)
		return error_set(error, -EIO, "%.200s: this key belongs to another certificate than %.200s", key, s->cert_file);
	return error_set(error, -EIO, "%.300s: contains no private key (PEM, without a passphrase)%s", key,
		s->key_file ? "" : "; give one with -o tls_key=FILE");
}

/* A file that could not be opened for want of descriptors or memory says nothing of the file. */
static int own_lack(int r, struct error *error)
{
	unsigned long code;
	while ((code = ERR_get_error())) {
		int number = ERR_SYSTEM_ERROR(code) ? ERR_GET_REASON(code) : 0;
		if (number == EMFILE || number == ENFILE || number == ENOMEM)
			return error_set(error, -number, "%s", strerror(number));
	}
	return r;
}

static int context_new(const struct tls_settings *settings, SSL_CTX **ret, struct error *error)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		return error_set(error, -ENOMEM, "no memory");
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
	SSL_CTX_set_verify(ctx, settings->unverified ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	ERR_clear_error();
	int r = load_cas(ctx, settings, error);
	if (r == 0)
		r = load_certificate(ctx, settings, error);
	if (r < 0) {
		SSL_CTX_free(ctx);
		return own_lack(r, error);
	}
	*ret = ctx;
	return 0;
}

static char *name_of(const struct endpoint *server)
{
	return server->tls->server_name ? server->tls->server_name : server->host;
}

/* Whom the connection is for: told to the server, unless it is an address, and looked for in its certificate. */
static bool set_name(SSL *ssl, const struct endpoint *server)
{
	char *name = name_of(server);
	struct in6_addr ignored;
	bool is_address = inet_pton(AF_INET, name, &ignored) == 1 || inet_pton(AF_INET6, name, &ignored) == 1;
	if (!is_address && SSL_set_tlsext_host_name(ssl, name) != 1)
		return false;
	if (server->tls->unverified || server->tls->any_name)
		return true;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 : SSL_set1_host(ssl, name) == 1;
}

int tls_new(const struct endpoint *server, struct tls **ret, struct error *error)
{
	SSL_CTX *ctx = NULL;
	int r = context_new(server->tls, &ctx, error);
	if (r < 0)
		return r;
	struct tls *tls = calloc(1, sizeof *tls);
	if (tls) {
		pthread_mutex_init(&tls->lock, NULL);
		tls->ssl = SSL_new(ctx);
	}
	SSL_CTX_free(ctx);
	if (!tls || !tls->ssl)
		r = error_set(error, -ENOMEM, "no memory");
	else if (!set_name(tls->ssl, server))
		r = error_set(error, -EACCES, "%.200s: not a valid name of a server", name_of(server));
	if (r < 0)
		tls_free(tls);
	else
		*ret = tls;
	return r;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	if (!tls->lent)
		SSL_free(tls->ssl);
	if (tls->context)
		redisFree(tls->context);
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}

/* --- bytes --- */

/* What it means that a call has returned r, not a success. Right behind the call; tls->lock is held or nobody else has it. */
static int result(struct tls *tls, int r, short *ret_events)
{
	int number = errno;
	switch (SSL_get_error(tls->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		*ret_events = POLLIN;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		*ret_events = POLLOUT;
		return -EAGAIN;
	case SSL_ERROR_SSL:
		/* Not every server takes its leave. */
		if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return -ECONNRESET;
		tls->failure = ERR_peek_error();
		return -EIO;
	case SSL_ERROR_SYSCALL:
		return number == ETIMEDOUT ? -ETIMEDOUT : -ECONNRESET;
	default:
		return -ECONNRESET;
	}
}

ssize_t tls_receive(struct tls *tls, void *to, size_t n, short *ret_events)
{
	size_t got = 0;
	LOCK(&tls->lock);
	ERR_clear_error();
	int done = SSL_read_ex(tls->ssl, to, n, &got);
	return done == 1 ? (ssize_t)got : result(tls, done, ret_events);
}

ssize_t tls_send(struct tls *tls, const void *from, size_t n, short *ret_events)
{
	size_t put = 0;
	LOCK(&tls->lock);
	ERR_clear_error();
	int done = SSL_write_ex(tls->ssl, from, n, &put);
	return done == 1 ? (ssize_t)put : result(tls, done, ret_events);
}

/* --- the handshake --- */

/* What the certificate of the server lacks. */
static int explain_certificate(long verdict, const struct endpoint *server, struct error *error)
{
	if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
		return error_set(error, -EACCES, "%.200s port %d: the server's certificate is not for %.100s; give the name in it with -o tls_server_name=",
			server->host, server->port, name_of(server));
	const bool unknown = verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT || verdict == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
		|| verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY || verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
		|| verdict == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
	return error_set(error, -EACCES, "%.200s port %d: the server's certificate is not trusted: %s%s", server->host, server->port,
		X509_verify_cert_error_string(verdict), unknown ? "; give its CA with -o tls_ca=FILE" : "");
}

int tls_explain(const struct tls *tls, const struct endpoint *server, struct error *error)
{
	const int reason = ERR_GET_REASON(tls->failure);
	if (tls->failure == 0)
		return 0;
	if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST || reason == SSL_R_PACKET_LENGTH_TOO_LONG)
		return error_set(error, -EIO, "%.200s port %d: the server there has no TLS; use %s without TLS", server->host, server->port,
			server->tls->words->plain_schemes);
	if (reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED || (reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE && !server->tls->cert_file))
		return error_set(error, -EACCES, "%.200s port %d: the server asks for a certificate of the client; give one with -o tls_cert= and tls_key=",
			server->host, server->port);
	/* Reasons from here on are what the other side says. */
	const bool is_alert = reason >= SSL_AD_REASON_OFFSET;
	const char *text = ERR_reason_error_string(tls->failure);
	return error_set(error, is_alert ? -EACCES : -EIO, "%.200s port %d: TLS failed: %s", server->host, server->port,
		text ? text : "no reason");
}

static int explain(const struct tls *tls, const struct endpoint *server, int r, struct error *error)
{
	long verdict = server->tls->unverified ? X509_V_OK : SSL_get_verify_result(tls->ssl);
	if (verdict != X509_V_OK)
		return explain_certificate(verdict, server, error);
	int explained = tls_explain(tls, server, error);
	if (explained < 0)
		return explained;
	if (r == -ETIMEDOUT)
		return error_set(error, r, "%.200s port %d: timed out; does this server have TLS? if not, use %s", server->host, server->port,
			server->tls->words->plain_schemes);
	if (r == -ECONNRESET)
		return error_set(error, -EIO, "%.200s port %d: the server has closed the connection; does it have TLS? if not, use %s",
			server->host, server->port, server->tls->words->plain_schemes);
	return error_set(error, r, "%.200s port %d: %s", server->host, server->port, strerror(-r));
}

static int shake_hands(struct tls *tls, int64_t end, const atomic_bool *stop)
{
	short events;
	ERR_clear_error();
	tls->lent = redisInitiateSSL(tls->context, tls->ssl) == REDIS_OK;
	if (!tls->lent)
		return result(tls, -1, &events);
	for (;;) {
		ERR_clear_error();
		int done = SSL_do_handshake(tls->ssl);
		if (done == 1)
			return 0;
		int r = result(tls, done, &events);
		if (r == -EAGAIN)
			r = connect_wait(tls->context->fd, events, end, stop);
		if (r < 0)
			return r;
	}
}

int tls_start(struct tls *tls, int fd, const struct endpoint *server, int timeout_ms, const atomic_bool *stop, struct error *error)
{
	int64_t end = clock_ms() + timeout_ms;
	tls->context = redisConnectFd(fd);
	if (!tls->context || tls->context->err) {
		if (!tls->context)
			close(fd);
		return error_set(error, -ENOMEM, "no memory");
	}
	/* hiredis goes by its flag, the socket by its own. */
	tls->context->flags &= ~REDIS_BLOCK;
	int r = shake_hands(tls, end, stop);
	return r < 0 ? explain(tls, server, r, error) : 0;
}
