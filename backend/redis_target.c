#include "redis_target.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

/* A part of a URL. */
struct part {
	const char *p;
	size_t n;
};

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void wipe(char *text)
{
	if (text)
		sodium_memzero(text, strlen(text));
	free(text);
}

/* Decodes a part, as unquote() does: a '%' that no two digits follow stands for itself. `plus`: it is a blank. */
static int decode(struct part part, bool plus, char **ret, struct error *error)
{
	char *text = malloc(part.n + 1), *to = text;
	if (!text)
		return error_set(error, -ENOMEM, "no memory");
	for (size_t i = 0; i < part.n; i++) {
		int high = part.p[i] == '%' && part.n - i > 2 ? hex_value(part.p[i + 1]) : -1;
		int low = high >= 0 ? hex_value(part.p[i + 2]) : -1;
		*to++ = low >= 0 ? (char)(high << 4 | low) : plus && part.p[i] == '+' ? ' ' : part.p[i];
		i += low >= 0 ? 2 : 0;
		if (to[-1] == '\0') {
			wipe(text);
			return error_set(error, -EINVAL, "the URL of the server has a %%00");
		}
	}
	*to = '\0';
	wipe(*ret);
	*ret = text;
	return 0;
}

/* Takes what stands before the first of `ends` off a part; what is left begins with that character. */
static struct part take_until(struct part *part, const char *ends)
{
	size_t n = 0;
	while (n < part->n && !strchr(ends, part->p[n]))
		n++;
	const struct part taken = {part->p, n};
	part->p += n;
	part->n -= n;
	return taken;
}

static void skip(struct part *part, size_t n)
{
	part->p += n;
	part->n -= n;
}

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
	skip(authority, at);
	*ret_user = take_until(&login, ":");
	int r = ret_user->n ? decode(*ret_user, false, &target->user, error) : 0;
	if (r == 0 && login.n > 1)
		r = decode((struct part){login.p + 1, login.n - 1}, false, &target->password, error);
	return r;
}

/* host[:port], the host in brackets when it is an IPv6 address. */
static int read_host(struct part place, struct redis_target *target, struct error *error)
{
	struct part host;
	if (place.n > 0 && place.p[0] == '[') {
		skip(&place, 1);
		host = take_until(&place, "]");
		if (place.n == 0)
			return error_set(error, -EINVAL, "redis://: a '[' without its ']'");
		skip(&place, 1);
	} else {
		host = take_until(&place, ":");
	}
	target->port = REDIS_PORT;
	if (place.n > 1) {
		int64_t port;
		char digits[8] = "";
		if (place.p[0] == ':' && place.n - 1 < sizeof digits)
			memcpy(digits, place.p + 1, place.n - 1);
		if (!read_db(digits, &port) || port < 0 || port > 65535)
			return error_set(error, -EINVAL, "redis://: the port is no number up to 65535");
		if (port > 0)
			target->port = (int)port;
	}
	return decode(host.n ? host : (struct part){"localhost", 9}, false, &target->host, error);
}

/* A member that is about TLS. */
static int read_tls_member(struct part name, struct part value, struct redis_target *target, struct error *error)
{
	char **to = target->tls ? tls_settings_text(target->tls, name.p, name.n) : NULL;
	if (!to)
		return error_set(error, -EINVAL, "the URL of the server: %.*s= is %s", name.n > 40 ? 40 : (int)name.n, name.p,
			target->tls ? "not known here" : "for TLS only (rediss://, rediss-cluster://, rediss-sentinel://)");
	return *to ? 0 : decode(value, true, to, error);
}

/* The first of each member counts. `found_db`: there is one. */
static int read_query(struct part query, struct redis_target *target, bool *found_db, struct error *error)
{
	bool has_user = target->user, has_password = target->password;
	int r = 0;
	while (r == 0 && query.n > 0) {
		struct part value = take_until(&query, "&");
		struct part name = take_until(&value, "=");
		skip(&query, query.n > 0);
		if (value.n < 2)
			continue;
		skip(&value, 1);
		cleanup_free char *text = NULL;
		if (tls_settings_is_member(name.p, name.n)) {
			r = read_tls_member(name, value, target, error);
		} else if (name.n == 2 && memcmp(name.p, "db", 2) == 0 && !*found_db) {
			*found_db = true;
			r = decode(value, true, &text, error);
			if (r == 0 && !read_db(text, &target->db))
				r = error_set(error, -EINVAL, "the URL of the server: db= takes a number");
		} else if (name.n == 8 && memcmp(name.p, "username", 8) == 0 && !has_user) {
			has_user = true;
			r = decode(value, true, &target->user, error);
		} else if (name.n == 8 && memcmp(name.p, "password", 8) == 0 && !has_password) {
			has_password = true;
			r = decode(value, true, &target->password, error);
		}
	}
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
	struct part user = {NULL, 0}, whole = take_until(&rest, "#");
	struct part authority = take_until(&whole, "/?");
	struct part path = take_until(&whole, "?"), query = whole;
	bool is_unix = kind == TARGET_UNIX, found_db = false;
	skip(&query, query.n > 0);

	int r = read_login(&authority, target, &user, error);
	const struct part place = authority;
	if (r == 0 && is_unix && path.n == 0)
		r = error_set(error, -EINVAL, "unix://: no path of a socket; it is unix:///path.sock");
	if (r == 0)
		r = is_unix ? decode(path, false, &target->path, error) : read_host(place, target, error);
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
	if (kind == TARGET_TLS && !(target.tls = calloc(1, sizeof *target.tls)))
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
	free(target->host);
	free(target->path);
	free(target->user);
	wipe(target->password);
	tls_settings_free(target->tls);
	*target = (struct redis_target){0};
}
