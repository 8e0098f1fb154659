#include "target.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct tls_words tls_words = {
	.scheme = "rediss",
	.plain_schemes = "redis://, redis-cluster:// or redis-sentinel://",
};

/* A number of a database. False: it is none. */
static bool read_db(const char *text, int64_t *ret)
{
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (end == text || *end || errno)
		return false;
	*ret = n;
	return true;
}

/* user[:password]@, up to the last '@' of the authority. ret_user: the user as it stands. */
static int read_login(struct part *authority, struct redis_target *target, struct part *ret_user, struct error *error)
{
	size_t at = authority->n;
	while (at > 0 && authority->p[at - 1] != '@')
		at--;
	if (at == 0)
		return 0;
	struct part login = {authority->p, at - 1};
	part_skip(authority, at);
	*ret_user = part_take_until(&login, ":");
	int r = ret_user->n ? part_decode(*ret_user, false, &target->user, error) : 0;
	if (r == 0 && login.n > 1)
		r = part_decode((struct part){login.p + 1, login.n - 1}, false, &target->password, error);
	return r;
}

/* --- what the query says of TLS --- */

/* Members whose value is a file or a directory. */
static const struct {
	const char *name;
	size_t offset;
} tls_paths[] = {
	{"ssl_ca_certs", offsetof(struct tls_settings, ca_file)},
	{"ssl_ca_path", offsetof(struct tls_settings, ca_dir)},
	{"ssl_certfile", offsetof(struct tls_settings, cert_file)},
	{"ssl_keyfile", offsetof(struct tls_settings, key_file)},
};

/* As to_bool() of redis-py. */
static bool is_false(const char *text)
{
	static const char *const words[] = {"0", "f", "false", "n", "no"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

static int read_cert_reqs(const char *text, struct tls_settings *tls, struct error *error)
{
	if (strcmp(text, "none") != 0 && strcmp(text, "optional") != 0 && strcmp(text, "required") != 0)
		return error_set(error, -EINVAL, "ssl_cert_reqs=%.40s: not a valid value; use none, optional or required", text);
	tls->unverified = strcmp(text, "none") == 0;
	return 0;
}

/* Members that were read: of each the first counts. */
struct seen {
	bool db, user, password, cert_reqs, check_hostname;
};

/* Where the path that a member gives belongs; NULL: it gives none. */
static char **tls_path_of(struct tls_settings *tls, struct part name)
{
	for (size_t i = 0; i < sizeof tls_paths / sizeof *tls_paths; i++)
		if (part_is(name, tls_paths[i].name))
			return (char **)((char *)tls + tls_paths[i].offset);
	return NULL;
}

static int read_tls_member(struct part name, struct part value, struct tls_settings *tls, struct seen *seen, struct error *error)
{
	cleanup_free char *text = NULL;
	char **path = tls ? tls_path_of(tls, name) : NULL;
	const bool reqs = part_is(name, "ssl_cert_reqs"), check = part_is(name, "ssl_check_hostname");
	if (!tls || (!path && !reqs && !check))
		return error_set(error, -EINVAL, "the URL of the server: %.*s= is %s", name.n > 40 ? 40 : (int)name.n, name.p,
			tls ? "not known here" : "for TLS only (rediss://, rediss-cluster://, rediss-sentinel://)");
	if (path)
		return *path ? 0 : part_decode(value, true, path, error);
	bool *is_seen = reqs ? &seen->cert_reqs : &seen->check_hostname;
	if (*is_seen)
		return 0;
	*is_seen = true;
	int r = part_decode(value, true, &text, error);
	if (r == 0 && reqs)
		r = read_cert_reqs(text, tls, error);
	else if (r == 0)
		tls->any_name = is_false(text);
	return r;
}

/* --- the query --- */

static int read_member(struct part name, struct part value, struct redis_target *target, struct seen *seen, struct error *error)
{
	cleanup_free char *text = NULL;
	int r = 0;
	if (name.n > 4 && memcmp(name.p, "ssl_", 4) == 0)
		return read_tls_member(name, value, target->at.tls, seen, error);
	if (part_is(name, "db") && !seen->db) {
		seen->db = true;
		r = part_decode(value, true, &text, error);
		if (r == 0 && !read_db(text, &target->db))
			r = error_set(error, -EINVAL, "the URL of the server: db= takes a number");
	} else if (part_is(name, "username") && !seen->user) {
		seen->user = true;
		r = part_decode(value, true, &target->user, error);
	} else if (part_is(name, "password") && !seen->password) {
		seen->password = true;
		r = part_decode(value, true, &target->password, error);
	}
	return r;
}

/* *ret_found_db: there is one. */
static int read_query(struct part query, struct redis_target *target, bool *ret_found_db, struct error *error)
{
	struct seen seen = {.user = target->user, .password = target->password};
	int r = 0;
	while (r == 0 && query.n > 0) {
		struct part value = part_take_until(&query, "&");
		const struct part name = part_take_until(&value, "=");
		part_skip(&query, query.n > 0);
		if (value.n < 2)
			continue;
		part_skip(&value, 1);
		r = read_member(name, value, target, &seen, error);
	}
	*ret_found_db = seen.db;
	return r;
}

/* /db. What is no number means none, as for redis-py. */
static void read_path_db(struct part path, struct redis_target *target)
{
	char digits[24] = "";
	size_t n = 0;
	for (size_t i = 0; i < path.n && n + 1 < sizeof digits; i++)
		if (path.p[i] != '/')
			digits[n++] = path.p[i];
	int64_t db;
	if (read_db(digits, &db))
		target->db = db;
}

static int read_parts(struct part rest, enum target_kind kind, struct redis_target *target, char **ret_shown, struct error *error)
{
	struct part user = {NULL, 0}, whole = part_take_until(&rest, "#");
	struct part authority = part_take_until(&whole, "/?");
	struct part path = part_take_until(&whole, "?"), query = whole;
	bool is_unix = kind == TARGET_UNIX, found_db = false;
	part_skip(&query, query.n > 0);

	int r = read_login(&authority, target, &user, error);
	const struct part place = authority;
	if (r == 0 && is_unix && path.n == 0)
		r = error_set(error, -EINVAL, "unix://: no path of a socket; write unix:///path.sock");
	if (r == 0)
		r = is_unix ? part_decode(path, false, &target->at.path, error)
			    : host_read(place, "redis://", REDIS_PORT, &target->at.host, &target->at.port, error);
	if (r == 0)
		r = read_query(query, target, &found_db, error);
	if (r < 0)
		return r;
	if (!is_unix && !found_db)
		read_path_db(path, target);

	struct buf shown = {0};
	buf_puts(&shown, is_unix ? "unix://" : kind == TARGET_TLS ? "rediss://" : "redis://");
	if (user.n)
		buf_printf(&shown, "%.*s@", (int)user.n, user.p);
	buf_printf(&shown, "%.*s%.*s", (int)place.n, place.p, (int)path.n, path.p);
	if (found_db)
		buf_printf(&shown, "?db=%lld", (long long)target->db);
	buf_put(&shown, "", 1);
	if (shown.failed) {
		buf_done(&shown);
		return error_set(error, -ENOMEM, "no memory");
	}
	*ret_shown = shown.p;
	return 0;
}

int redis_target_read(const char *rest, enum target_kind kind, struct redis_target *ret, char **ret_shown, struct error *error)
{
	struct redis_target target = {0};
	if (kind == TARGET_TLS && !(target.at.tls = tls_settings_new(&tls_words)))
		return error_set(error, -ENOMEM, "no memory");
	int r = read_parts((struct part){rest, strlen(rest)}, kind, &target, ret_shown, error);
	if (r < 0)
		redis_target_done(&target);
	else
		*ret = target;
	return r;
}

void redis_target_done(struct redis_target *target)
{
	endpoint_done(&target->at);
	free(target->user);
	text_wipe(target->password);
	*target = (struct redis_target){0};
}
