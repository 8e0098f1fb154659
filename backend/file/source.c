/* Which directory: a path, a file:// URL, or the one that the SDK uses where nobody names any. */
#include "file.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_options(const struct options *options, struct error *error)
{
	if (options->read_from == READ_FROM_REPLICA)
		return error_set(error, -EINVAL, "-o read_from=replica: a file cache has no replicas");
	if (options->prefix || options->tenant)
		return error_set(error, -EINVAL, "-o %s=: not for a file cache, which stores only hashes of keys", options->prefix ? "prefix" : "tenant");
	return 0;
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

int file_open(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	cleanup_free char *decoded = NULL;
	int r = scheme ? file_url_path(location, &decoded, error) : 0;
	const char *named = decoded ? decoded : location;
	if (r == 0)
		r = check_options(options, error);
	if (r < 0)
		return r;
	/* As the SDK does: what the path means is settled once. */
	cleanup_free char *path = realpath(named, NULL);
	if (!path)
		return error_set(error, -errno, "%s: %s (SOURCE is the directory that the application's cache uses)", named, strerror(errno));
	return file_backend_new(path, false, options, ret, ret_source, error);
}

/* The embedded default: $TMPDIR/cachekit, if it is a real directory of this user's. It is looked at again whenever it is opened. */
int file_open_default(const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	const char *named = getenv("TMPDIR");
	named = named && *named ? named : NULL;
	cleanup_free char *tmp = realpath(named ? named : "/tmp", NULL);
	cleanup_free char *path = NULL;
	struct stat st;
	if (!tmp && errno != ENOENT)
		return error_set(error, -errno, "no SOURCE, and %.300s: %s", named ? named : "/tmp", strerror(errno));
	if (asprintf(&path, "%s/cachekit", tmp ? tmp : named ? named : "/tmp") < 0) {
		path = NULL;
		return error_set(error, -ENOMEM, "no memory");
	}
	int r = lstat(path, &st) < 0 ? -errno : 0;
	if (r < 0 && r != -ENOENT)
		return error_set(error, r, "no SOURCE, and %.300s: %s", path, strerror(-r));
	if (r < 0 || !S_ISDIR(st.st_mode))
		return error_set(error, -ENOENT, "no SOURCE: give a cache directory, or set CACHEKIT_FILE_CACHE_DIR (there is no %.300s either)", path);
	if (st.st_uid != geteuid())
		return error_set(error, -EACCES, "no SOURCE, and %.300s belongs to another user; " GIVE_IF_TRUSTED, path);
	r = check_options(options, error);
	return r < 0 ? r : file_backend_new(path, true, options, ret, ret_source, error);
}
