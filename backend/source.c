/* SOURCE: which backend, and where. Without one the environment says, by the SDK's own rules. */
#include "ckfs/backend.h"

#include "backends.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Selectors of the SDK. Setting two is an error there and here. */
static const struct {
	const char *variable;
	const char *scheme; /* NULL: it is a URL */
} selectors[] = {
	{"CACHEKIT_API_KEY", "https"},
	{"CACHEKIT_REDIS_URL", NULL},
	{"CACHEKIT_MEMCACHED_SERVERS", "memcached"},
	{"CACHEKIT_FILE_CACHE_DIR", "file"},
};

/* Sources the contract names and this build cannot open. */
static const struct {
	const char *scheme;
	const char *what;
} unavailable[] = {
	{"memcached", "Memcached"}, {"https", "HTTP service"}, {"http", "HTTP service"},
};

static const char *getenv_set(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

/* `from`: the variable that the source comes from, or "". */
static int refuse_scheme(const char *scheme, size_t n, const char *from, struct error *error)
{
	for (size_t i = 0; i < sizeof unavailable / sizeof *unavailable; i++)
		if (strlen(unavailable[i].scheme) == n && strncasecmp(unavailable[i].scheme, scheme, n) == 0)
			return error_set(error, -EPROTONOSUPPORT, "%s%s%s: this build has no %s yet; it mounts file caches (DIR or file:///DIR) and Redis (redis://HOST, unix:///SOCKET, redis-cluster://, redis-sentinel://; by TLS rediss://, rediss-cluster://, rediss-sentinel://)",
				from, *from ? " names " : "", unavailable[i].scheme, unavailable[i].what);
	return error_set(error, -EINVAL, "%.*s://: no such kind of source (DIR, file:///DIR, redis://HOST and unix:///SOCKET are)", n > 40 ? 40 : (int)n, scheme);
}

static const struct backend_ops *find_backend(const char *scheme, size_t n, const char **ret_scheme)
{
	for (size_t i = 0; backends[i]; i++)
		for (const char *const *s = backends[i]->schemes; *s; s++)
			if (strlen(*s) == n && strncasecmp(*s, scheme, n) == 0) {
				*ret_scheme = *s;
				return backends[i];
			}
	return NULL;
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path of file:///DIR, percent-decoded. */
static int file_url_path(const char *rest, char **ret, struct error *error)
{
	const char *url = rest;
	static const char local[] = "localhost";
	if (strncmp(rest, local, sizeof local - 1) == 0)
		rest += sizeof local - 1;
	if (*rest != '/')
		return error_set(error, -EINVAL, "file://%s: a file URL has three slashes and a whole path, file:///DIR", rest);
	char *path = malloc(strlen(rest) + 1), *to = path;
	if (!path)
		return error_set(error, -ENOMEM, "no memory");
	for (; *rest; rest++) {
		int high = *rest == '%' ? hex_value(rest[1]) : -1;
		int low = high >= 0 ? hex_value(rest[2]) : -1;
		if (*rest == '%' && (low < 0 || (high == 0 && low == 0))) {
			free(path);
			return error_set(error, -EINVAL, "file://%.200s: a '%%' is not followed by two hex digits of a path's byte", url);
		}
		*to++ = low >= 0 ? (char)(high << 4 | low) : *rest;
		rest += low >= 0 ? 2 : 0;
	}
	*to = '\0';
	*ret = path;
	return 0;
}

static int open_file(const char *path, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	return file_backend.open("file", path, options, ret, ret_source, error);
}

/* `from`: the variable that the source comes from, or "". */
static int open_url(const char *url, const char *from, const struct options *options, struct backend **ret, char **ret_source,
	struct error *error)
{
	const char *colon = strstr(url, "://"), *scheme = NULL;
	size_t n = (size_t)(colon - url);
	const struct backend_ops *ops = find_backend(url, n, &scheme);
	if (!ops)
		return refuse_scheme(url, n, from, error);
	if (ops != &file_backend)
		return ops->open(scheme, colon + 3, options, ret, ret_source, error);
	cleanup_free char *path = NULL;
	int r = file_url_path(colon + 3, &path, error);
	return r < 0 ? r : open_file(path, options, ret, ret_source, error);
}

static int open_source(const char *source, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	if (!strstr(source, "://"))
		return open_file(source, options, ret, ret_source, error);
	return open_url(source, "", options, ret, ret_source, error);
}

/* The URL of a server in a variable, which may hold a password: it is wiped there, since /proc shows that very memory to root. */
static int open_variable(const char *variable, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	char *url = getenv(variable);
	static const char *const schemes[] = {"redis://", "rediss://", "unix://"};
	bool known = false;
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
		known |= strncmp(url, schemes[i], strlen(schemes[i])) == 0;
	int r = known ? open_url(url, variable, options, ret, ret_source, error)
		      : error_set(error, -EINVAL, "%s: not the URL of a Redis server; it is redis://HOST or unix:///SOCKET", variable);
	sodium_memzero(url, strlen(url));
	unsetenv(variable);
	return r;
}

/* The embedded default: $TMPDIR/cachekit, if it is a real directory of this user's. */
static int open_default(const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	const char *tmp = getenv_set("TMPDIR");
	char path[4096];
	struct stat st;
	int n = snprintf(path, sizeof path, "%s/cachekit", tmp ? tmp : "/tmp");
	if (n < 0 || (size_t)n >= sizeof path)
		return error_set(error, -ENAMETOOLONG, "$TMPDIR is too long");
	if (lstat(path, &st) < 0 && errno != ENOENT)
		return error_set(error, -errno, "no SOURCE, and %s: %s", path, strerror(errno));
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(error, -ENOENT, "no SOURCE: name a cache directory, or set CACHEKIT_FILE_CACHE_DIR (there is no %s either)", path);
	if (st.st_uid != geteuid())
		return error_set(error, -EACCES, "no SOURCE, and %s belongs to another user: name the cache directory if you trust it", path);
	return open_file(path, options, ret, ret_source, error);
}

static int open_environment(const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	char names[256] = "";
	size_t found = 0, which = 0;
	for (size_t i = 0; i < sizeof selectors / sizeof *selectors; i++)
		if (getenv_set(selectors[i].variable)) {
			size_t n = strlen(names);
			snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", selectors[i].variable);
			which = i;
			found++;
		}
	if (found > 1)
		return error_set(error, -EINVAL, "no SOURCE, and the environment sets more than one: %s; unset all but one, or name a SOURCE", names);
	if (found == 0)
		return getenv_set("REDIS_URL") ? open_variable("REDIS_URL", options, ret, ret_source, error) : open_default(options, ret, ret_source, error);
	if (!selectors[which].scheme)
		return open_variable(selectors[which].variable, options, ret, ret_source, error);
	if (strcmp(selectors[which].scheme, "file") != 0)
		return refuse_scheme(selectors[which].scheme, strlen(selectors[which].scheme), selectors[which].variable, error);
	return open_file(getenv_set(selectors[which].variable), options, ret, ret_source, error);
}

int backend_open(const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	if (options->source)
		return open_source(options->source, options, ret, ret_source, error);
	return open_environment(options, ret, ret_source, error);
}
