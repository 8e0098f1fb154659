/*
 * The CacheKit service. A lookup is one GET of the whole value, which its entry keeps for the open that follows; nobody can list the service, and when an
 * entry expires is a request of its own.
 */
#include "backend/backends.h"
#include "backend/http/http_backend.h"
#include "backend/http/rules/service_key.h"
#include "backend/http/rules/ttl.h"
#include "backend/http/write.h"
#include "backend/remote/key_prefix.h"
#include "backend/remote/url.h"

#include "ckfs/buf.h"
#include "ckfs/clock.h"
#include "ckfs/secrets.h"

#include <errno.h>
#include <string.h>

#define TOKEN_VARIABLE "CACHEKIT_API_KEY"

int http_path(const struct http_backend *b, const struct key *key, const char *what, struct buf *ret)
{
	cleanup_key struct key stored = {0};
	int r = backend_stored_key(&b->backend, key, &stored);
	if (r < 0)
		return r;
	if (!service_can_hold(stored.text, stored.length))
		return -ENOENT;
	buf_puts(ret, "/v1/cache/");
	url_put_escaped(ret, stored.text, stored.length);
	buf_puts(ret, what);
	buf_put(ret, "", 1);
	return ret->failed ? -ENOMEM : 0;
}

/* --- values --- */

static int ask_value(void *arg, const struct key *key, const atomic_bool *cancel, struct stored *ret)
{
	struct http_backend *b = arg;
	cleanup_buf struct buf path = {0};
	cleanup_free struct answer *answer = calloc(1, sizeof *answer);
	struct error error;
	if (!answer)
		return -ENOMEM;
	int r = http_path(b, key, "", &path);
	if (r == 0)
		r = service_ask(&b->service, &(struct http_question){.path = path.p, .spool = b->backend.spool}, cancel, answer, &error);
	if (r == 0)
		*ret = (struct stored){.version = answer->version, .value = slice_steal(&answer->value), .size = answer->length,
			.expires = EXPIRES_UNKNOWN, .written = b->opened, .stale = answer->stale};
	answer_done(answer);
	return r;
}

static int http_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel, struct stored *ret)
{
	cleanup_buf struct buf ignored = {0};
	(void)whole;
	(void)spool;
	/* Who asks for what cannot be there waits for nobody. */
	int r = http_path(http_of(backend), key, "", &ignored);
	return r < 0 ? r : flights_ask(&http_of(backend)->flights, key, cancel, ret);
}

/* --- expiries --- */

int http_ask_ttl(struct http_backend *b, const struct key *key, const atomic_bool *cancel, int64_t *ret)
{
	cleanup_buf struct buf path = {0};
	cleanup_free struct answer *answer = calloc(1, sizeof *answer);
	struct error error;
	if (!answer)
		return -ENOMEM;
	int r = http_path(b, key, "/ttl", &path);
	if (r == 0)
		r = service_ask(&b->service, &(struct http_question){.path = path.p, .text = true}, cancel, answer, &error);
	if (r == 0)
		r = ttl_read(answer->text, answer->length, ret) < 0 ? -EIO : 0;
	answer_done(answer);
	return r;
}

static int http_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret)
{
	struct http_backend *b = http_of(backend);
	if (expiries_find(&b->expiries, &key->hash, &stored->version, ret))
		return 0;
	const uint64_t ask = expiries_ask(&b->expiries);
	int64_t ttl;
	int r = http_ask_ttl(b, key, NULL, &ttl);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	*ret = ttl == TTL_NEVER ? 0 : clock_unix() + ttl;
	expiries_note(&b->expiries, &key->hash, &stored->version, ask, *ret);
	return 0;
}

/* --- the backend --- */

static void http_close(struct backend *backend)
{
	struct http_backend *b = http_of(backend);
	flights_done(&b->flights);
	service_close(&b->service);
	expiries_done(&b->expiries);
	free(b->backend.prefix);
	free(b);
}

static void http_needs(const struct backend *backend, struct sandbox *sandbox)
{
	service_needs(&((const struct http_backend *)backend)->service, sandbox);
}

static void http_forget(struct backend *backend)
{
	expiries_forget(&http_of(backend)->expiries);
}

static void http_stop(struct backend *backend)
{
	atomic_store(&http_of(backend)->stop, true);
}

/* Takes the address over, also when it fails. */
static int open_url(struct service_url *url, const char *token, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	struct http_backend *b = calloc(1, sizeof *b);
	if (!b) {
		service_url_done(url);
		return error_set(error, -ENOMEM, "no memory");
	}
	b->backend.ops = &http_backend;
	b->backend.value_max = VALUE_MAX;
	b->service.stop = &b->stop;
	expiries_init(&b->expiries);
	clock_gettime(CLOCK_REALTIME, &b->opened);
	int first = flights_init(&b->flights, ask_value, b);
	int r = service_open(&b->service, url, options, token, error);
	if (r == 0 && (first < 0 || key_prefix_make(options, &b->backend) < 0 || !(*ret_source = strdup(b->service.url.base))))
		r = error_set(error, -ENOMEM, "no memory");
	if (r < 0)
		http_close(&b->backend);
	else
		*ret = &b->backend;
	return r;
}

/* The tenant is that of the token. */
static int check_options(const struct options *options, struct error *error)
{
	if (options->tenant)
		return error_set(error, -EINVAL, "-o tenant=: the service knows the tenant by the token; use -o prefix= for keys that begin alike");
	if (options->write && options->ttl > SERVICE_TTL_MAX)
		return error_set(error, -EINVAL, "-o ttl=: the service keeps values for 30 days (2592000) at most, or for ever (never)");
	return 0;
}

static int http_open(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	struct service_url url;
	char *token = getenv(TOKEN_VARIABLE);
	(void)scheme;
	int r = check_options(options, error);
	if (r == 0)
		r = service_url_read(location, &url, error);
	if (r == 0)
		r = open_url(&url, token, options, ret, ret_source, error);
	/* /proc shows that very memory to root. */
	if (token) {
		sodium_memzero(token, strlen(token));
		unsetenv(TOKEN_VARIABLE);
	}
	return r;
}

/* As the SDK: the variable is the token, and two others say where the service is. */
static int http_open_variable(const char *variable, const char *value, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	static const char scheme[] = "https://";
	const char *text = getenv("CACHEKIT_API_URL"), *allow = getenv("CACHEKIT_ALLOW_CUSTOM_HOST");
	struct service_url url;
	bool allow_custom_host = false;
	(void)variable;
	if (!text)
		text = "https://api.cachekit.io";
	if (strncasecmp(text, scheme, sizeof scheme - 1) != 0)
		return error_set(error, -EINVAL, "CACHEKIT_API_URL: not an https:// URL");
	if (allow && setting_read_bool(allow, &allow_custom_host) < 0)
		return error_set(error, -EINVAL, "CACHEKIT_ALLOW_CUSTOM_HOST: not a valid value; use true or false");
	int r = check_options(options, error);
	if (r == 0)
		r = service_url_read(text + sizeof scheme - 1, &url, error);
	if (r < 0)
		return r;
	r = service_url_check_host(&url, allow_custom_host, error);
	if (r < 0) {
		service_url_done(&url);
		return r;
	}
	return open_url(&url, value, options, ret, ret_source, error);
}

const struct backend_ops http_backend = {
	.name = "http",
	.title = "CacheKit service",
	.schemes = (const char *const[]){"https", NULL},
	.mounts = "the CacheKit service (https://HOST)",
	.forms = (const char *const[]){"https://HOST", NULL},
	.variable = TOKEN_VARIABLE,
	.stores_keys = true,
	.metered = true,
	.has_limit = true,
	.remote = true,
	.open = http_open,
	.open_variable = http_open_variable,
	.close = http_close,
	.needs = http_needs,
	.find = http_find,
	.expires = http_expires,
	.forget = http_forget,
	.stop = http_stop,
	.put = http_put,
	.remove = http_remove,
	.expire = http_expire,
};
