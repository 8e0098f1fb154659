/* The servers are a list; the login, the database and the TLS that all of them share are read as the URL of a single one. */
#include "seeds.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* What a URL is made of, as it stands there. */
struct parts {
	const char *scheme;
	enum target_kind kind;
	const char *login; /* with its '@'; may be empty */
	int login_length;
	const char *servers;
	int servers_length;
	const char *service; /* of a sentinel's path */
	int service_length;
	const char *path; /* /db, with what is before the '?' */
	int path_length;
	const char *query; /* with its '?' */
	int query_length;
};

static void split(const char *rest, struct parts *ret)
{
	const int authority = (int)strcspn(rest, "/?#");
	int at = authority;
	while (at > 0 && rest[at - 1] != '@')
		at--;
	ret->login = rest;
	ret->login_length = at;
	ret->servers = rest + at;
	ret->servers_length = authority - at;
	ret->path = rest + authority;
	ret->path_length = (int)strcspn(ret->path, "?#");
	ret->query = ret->path + ret->path_length;
	ret->query_length = (int)strcspn(ret->query, "#");
}

/* Takes /service off the path. Sentinels know no other characters. */
static int split_service(struct parts *parts, struct error *error)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
	bool has_slash = parts->path_length > 0;
	parts->service = parts->path + has_slash;
	parts->service_length = (int)strspn(parts->service, allowed);
	int left = parts->path_length - has_slash - parts->service_length;
	if (parts->service_length == 0)
		return error_set(error, -EINVAL, "%s: no service; write %sHOST[,HOST...]/SERVICE[/DB]", parts->scheme, parts->scheme);
	if (left > 0 && parts->service[parts->service_length] != '/')
		return error_set(error, -EINVAL, "%s: the name of a service may only have letters, digits and .-_", parts->scheme);
	parts->path = parts->service + parts->service_length;
	parts->path_length = left;
	return 0;
}

/* What all servers have in common: the URL without them. */
static int read_login(const struct parts *parts, struct redis_target *ret, bool *ret_found_db, struct error *error)
{
	struct buf url = {0};
	cleanup_free char *shown = NULL;
	buf_put(&url, parts->login, (size_t)parts->login_length);
	buf_put(&url, parts->path, (size_t)parts->path_length);
	buf_put(&url, parts->query, (size_t)parts->query_length);
	buf_put(&url, "", 1);
	int r = url.failed ? error_set(error, -ENOMEM, "no memory") : redis_target_read(url.p, parts->kind, ret, &shown, error);
	if (url.p)
		sodium_memzero(url.p, url.capacity);
	buf_done(&url);
	if (r < 0)
		return r;
	*ret_found_db = strchr(shown, '?');
	free(ret->at.host);
	ret->at.host = NULL;
	return 0;
}

static char *shown_new(const struct parts *parts, const struct redis_seeds *seeds, const struct redis_target *login, bool found_db)
{
	struct buf shown = {0};
	const char *colon = memchr(parts->login, ':', (size_t)parts->login_length);
	const int user = colon ? (int)(colon - parts->login) : parts->login_length - (parts->login_length > 0);
	buf_puts(&shown, parts->scheme);
	if (user > 0)
		buf_printf(&shown, "%.*s@", user, parts->login);
	buf_printf(&shown, "%.*s", parts->servers_length, parts->servers);
	if (seeds->service)
		buf_printf(&shown, "/%s", seeds->service);
	buf_printf(&shown, "%.*s", parts->path_length, parts->path);
	if (found_db)
		buf_printf(&shown, "?db=%lld", (long long)login->db);
	buf_put(&shown, "", 1);
	if (shown.failed)
		buf_done(&shown);
	return shown.failed ? NULL : shown.p;
}

static int read_parts(struct parts *parts, bool is_sentinel, struct redis_target *login, struct redis_seeds *seeds, char **ret_shown,
	struct error *error)
{
	bool found_db = false;
	int r = is_sentinel ? split_service(parts, error) : 0;
	if (r < 0)
		return r;
	seeds->service = is_sentinel ? strndup(parts->service, (size_t)parts->service_length) : NULL;
	if (is_sentinel && !seeds->service)
		return error_set(error, -ENOMEM, "no memory");
	const struct part list = {parts->servers, (size_t)parts->servers_length};
	r = addresses_read(list, parts->scheme, is_sentinel ? SENTINEL_PORT : REDIS_PORT, &seeds->servers, &seeds->count, error);
	if (r == 0)
		r = read_login(parts, login, &found_db, error);
	if (r < 0)
		return r;
	if (!is_sentinel && login->db != 0)
		return error_set(error, -EINVAL, "%s: a cluster has database 0 only", parts->scheme);
	*ret_shown = shown_new(parts, seeds, login, found_db);
	return *ret_shown ? 0 : error_set(error, -ENOMEM, "no memory");
}

static const char *scheme_of(bool is_sentinel, enum target_kind kind)
{
	if (kind == TARGET_TLS)
		return is_sentinel ? "rediss-sentinel://" : "rediss-cluster://";
	return is_sentinel ? "redis-sentinel://" : "redis-cluster://";
}

int redis_seeds_read(const char *rest, bool is_sentinel, enum target_kind kind, struct redis_target *ret_login, struct redis_seeds *ret,
	char **ret_shown, struct error *error)
{
	struct parts parts = {.scheme = scheme_of(is_sentinel, kind), .kind = kind};
	struct redis_target login = {0};
	struct redis_seeds seeds = {0};
	if (strlen(rest) > INT32_MAX / 2)
		return error_set(error, -EINVAL, "%s: too long", parts.scheme);
	split(rest, &parts);
	int r = read_parts(&parts, is_sentinel, &login, &seeds, ret_shown, error);
	if (r < 0) {
		redis_target_done(&login);
		redis_seeds_done(&seeds);
		return r;
	}
	*ret_login = login;
	*ret = seeds;
	return 0;
}

void redis_seeds_done(struct redis_seeds *seeds)
{
	free(seeds->servers);
	free(seeds->service);
	*seeds = (struct redis_seeds){0};
}
