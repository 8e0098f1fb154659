/* Opens the service, and closes it. */
#include "service.h"

#include "ckfs/cleanup.h"
#include "ckfs/path.h"

#include <errno.h>
#include <string.h>

static const struct tls_words words = {.scheme = "https", .plain_schemes = "none"};

/* As OpenSSL takes it from the environment; NULL: it does not. */
static int take_path(const char *variable, char **ret, struct error *error)
{
	const char *path = secure_getenv(variable);
	int r = path && *path ? path_absolute(path, ret) : 0;
	return r < 0 ? error_set(error, r, "%s: %s", variable, strerror(-r)) : 0;
}

/* Whom to trust: -o tls_ca= alone, or what the environment names, or else what libcurl was built with. */
static int settle_cas(struct service *s, struct error *error)
{
	int r = 0;
	if (!s->tls->only_ca_file)
		r = take_path("SSL_CERT_FILE", &s->ca_file, error);
	/* A list of directories has no place to be made absolute. */
	const char *directories = s->tls->only_ca_file ? NULL : secure_getenv("SSL_CERT_DIR");
	if (r == 0 && directories && *directories && !(s->ca_dir = strdup(directories)))
		r = error_set(error, -ENOMEM, "no memory");
	s->target.ca_file = s->tls->only_ca_file ? s->tls->ca_file : s->ca_file;
	s->target.ca_dir = s->ca_dir;
	return r;
}

static int settle_tls(struct service *s, const struct options *options, struct error *error)
{
	if (options->tls_server_name)
		return error_set(error, -EINVAL, "-o tls_server_name=: not for https://, whose certificate is for the host of the URL");
	s->tls = tls_settings_new(&words);
	if (!s->tls)
		return error_set(error, -ENOMEM, "no memory");
	int r = tls_settings_settle(s->tls, options, error);
	if (r == 0)
		r = settle_cas(s, error);
	s->target.tls = s->tls;
	s->target.host = s->url.host;
	s->target.port = s->url.port;
	return r;
}

/* A service is told from another server by its answer, whose words do not matter. */
static int check(struct service *s, struct error *error)
{
	cleanup_free struct answer *answer = calloc(1, sizeof *answer);
	if (!answer)
		return error_set(error, -ENOMEM, "no memory");
	int r = service_ask(s, &(struct http_question){.path = "/v1/cache/health"}, NULL, answer, error);
	answer_done(answer);
	if (r == -ENOENT)
		return error_set(error, -EIO, "%.200s: there is no CacheKit service (HTTP 404)", s->url.base);
	return r;
}

/* The daemon opens connections of its own. */
static void renew_pool(struct service *s)
{
	pool_done(&s->pool);
	pool_init(&s->pool, &http_pool_ops, s->url.host, s->timeout_ms, s->stop, s->token.file);
}

int service_open(struct service *service, struct service_url *url, const struct options *options, const char *token, struct error *error)
{
	struct service *s = service;
	s->url = *url;
	s->timeout_ms = (int)(options->timeout * 1000);
	pool_init(&s->pool, &http_pool_ops, s->url.host, s->timeout_ms, s->stop, NULL);
	int r = http_library_init() < 0 ? error_set(error, -ENOMEM, "no memory") : 0;
	if (r == 0)
		r = token_open(options, token, &s->token, error);
	if (r == 0)
		r = settle_tls(s, options, error);
	if (r == 0)
		r = check(s, error);
	renew_pool(s);
	s->serves = r == 0;
	return r;
}

void service_close(struct service *service)
{
	pool_done(&service->pool);
	token_close(&service->token);
	tls_settings_free(service->tls);
	service_url_done(&service->url);
	free(service->ca_file);
	free(service->ca_dir);
}

void service_needs(const struct service *service, struct sandbox *sandbox)
{
	const struct service *s = service;
	const curl_version_info_data *library = curl_version_info(CURLVERSION_NOW);
	const bool is_own = s->tls->only_ca_file;
	const char *ca_file = s->target.ca_file || is_own ? s->target.ca_file : library->cainfo;
	const char *ca_dir = s->target.ca_dir || is_own ? s->target.ca_dir : library->capath;
	const char *const files[] = {ca_file, s->tls->cert_file, s->tls->key_file};
	sandbox_allow_network(sandbox);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (files[i])
			sandbox_allow(sandbox, SANDBOX_READ, files[i]);
	if (ca_dir)
		sandbox_allow_ca_directories(sandbox, ca_dir);
	password_file_needs(s->token.file, sandbox);
}
