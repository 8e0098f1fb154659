#include "connection.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines of statistics that count: a server has some 150. */
#define STATS_MAX 2000

#define NOT_MEMCACHED "this is no Memcached server"

int mc_connection_line(struct mc_connection *c, const char **ret, size_t *ret_length)
{
	size_t n;
	const uint8_t *p = stream_peek(&c->stream, &n), *end;
	while (!(end = n ? memchr(p, '\n', n) : NULL)) {
		int r = n >= MC_LINE_MAX ? stream_fail(&c->stream, -EIO) : stream_fill(&c->stream);
		if (r < 0)
			return r;
		p = stream_peek(&c->stream, &n);
	}
	n = (size_t)(end - p);
	stream_take(&c->stream, n + 1);
	*ret = (const char *)p;
	*ret_length = n - (n > 0 && p[n - 1] == '\r');
	return 0;
}

int mc_connection_reply(struct mc_connection *c, struct mc_reply *ret)
{
	const char *line;
	size_t n;
	int r = mc_connection_line(c, &line, &n);
	c->read++;
	if (r < 0)
		return r;
	if (mc_reply_read(line, n, ret) < 0)
		return stream_fail(&c->stream, -EIO);
	if (ret->kind == MC_MISS)
		return -ENOENT;
	if (ret->kind == MC_ERROR)
		return mc_errno(line, n);
	/* The answer to another question would be taken for this one's. */
	return ret->opaque == c->read ? 0 : stream_fail(&c->stream, -EIO);
}

/* --- what a server tells of itself --- */

static bool is_text(struct bytes text, const char *what)
{
	return text.left == strlen(what) && memcmp(text.p, what, text.left) == 0;
}

static void take_fact(struct bytes name, struct bytes value, struct mc_server_facts *facts)
{
	const struct {
		const char *name;
		uint64_t *number;
	} numbers[] = {
		{"pid", &facts->pid}, {"uptime", &facts->uptime}, {"time", &facts->time}, {"total_connections", &facts->connections},
		{"bytes", &facts->used}, {"limit_maxbytes", &facts->max}, {"item_size_max", &facts->item_max},
	};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (is_text(name, numbers[i].name))
			(void)mc_number(value, numbers[i].number);
	if (is_text(name, "version") && value.left < sizeof facts->version) {
		memcpy(facts->version, value.p, value.left);
		facts->version[value.left] = '\0';
	}
	facts->no_cas |= is_text(name, "cas_enabled") && is_text(value, "no");
	facts->no_dump |= (is_text(name, "dump_enabled") || is_text(name, "lru_crawler")) && is_text(value, "no");
}

static int read_facts(struct mc_connection *c, struct mc_server_facts *facts)
{
	for (unsigned i = 0; i < STATS_MAX; i++) {
		const char *line;
		size_t n;
		struct bytes name, value;
		int r = mc_connection_line(c, &line, &n);
		if (r < 0)
			return r;
		if (n == 3 && memcmp(line, "END", 3) == 0)
			return 0;
		r = mc_errno(line, n);
		if (r < 0)
			return r;
		if (!mc_stat_read(line, n, &name, &value))
			break;
		take_fact(name, value, facts);
	}
	return stream_fail(&c->stream, -EIO);
}

int mc_connection_facts(struct mc_connection *c, struct mc_server_facts *ret)
{
	struct mc_server_facts facts = {.pid = 0};
	buf_puts(&c->stream.out, "stats\r\nstats settings\r\n");
	c->owes = true;
	int r = stream_send(&c->stream);
	for (unsigned i = 0; r == 0 && i < 2; i++)
		r = read_facts(c, &facts);
	if (r < 0)
		return r;
	c->owes = false;
	*ret = facts;
	return 0;
}

/* --- opening --- */

static int explain(const struct endpoint *at, int r, struct error *error)
{
	return error_set(error, r, "%.200s: %s", endpoint_name(at),
		r == -ETIMEDOUT ? "timed out; is this a Memcached server?" : r == -ECONNRESET ? "the server has closed the connection"
		: r == -EAGAIN ? "the server has no room for another connection" : r == -EIO ? NOT_MEMCACHED : strerror(-r));
}

/* As `-Y` wants it: a value of "user password" is set, whatever its key is called. */
static int log_in(struct mc_connection *c, const struct endpoint *at, const struct mc_login *login, struct error *error)
{
	char from_file[PASSWORD_MAX + 1] = "";
	const char *line, *password = login->password;
	size_t n;
	if (login->password_file) {
		password_file_get(login->password_file, from_file);
		password = from_file;
	}
	password = password ? password : "";
	buf_printf(&c->stream.out, "set auth 0 0 %zu\r\n%s %s\r\n", strlen(login->user) + 1 + strlen(password), login->user, password);
	sodium_memzero(from_file, sizeof from_file);
	int r = stream_send(&c->stream);
	sodium_memzero(c->stream.out.p, c->stream.out.capacity);
	if (r == 0)
		r = mc_connection_line(c, &line, &n);
	if (r < 0)
		return explain(at, r, error);
	if (n == 6 && memcmp(line, "STORED", 6) == 0)
		return 0;
	r = mc_errno(line, n);
	if (r == -EACCES)
		return error_set(error, r, "%.200s: the server refuses the login of user %.100s; give user and password in the URL or -o password_file=", endpoint_name(at),
			login->user);
	return explain(at, -EIO, error);
}

static bool is_before(const char *version, unsigned major, unsigned minor, unsigned patch)
{
	unsigned has[3] = {0, 0, 0};
	const unsigned wanted[3] = {major, minor, patch};
	if (sscanf(version, "%u.%u.%u", &has[0], &has[1], &has[2]) < 2)
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (has[i] != wanted[i])
			return has[i] < wanted[i];
	return false;
}

static int greet(struct mc_connection *c, const struct endpoint *at, struct mc_server_facts *ret, struct error *error)
{
	int r = mc_connection_facts(c, ret);
	if (r == -EACCES)
		return error_set(error, r, "%.200s: the server wants a login; write memcached://USER@HOST and give -o password_file=", endpoint_name(at));
	if (r < 0)
		return explain(at, r, error);
	if (!*ret->version)
		return error_set(error, -EIO, "%.200s: " NOT_MEMCACHED, endpoint_name(at));
	/* Meta commands came with 1.6. */
	if (is_before(ret->version, 1, 6, 0))
		return error_set(error, -EPROTONOSUPPORT, "%.200s: this is Memcached %s, which is too old: ckfs needs 1.6 or newer", endpoint_name(at), ret->version);
	ret->is_early = is_before(ret->version, 1, 6, 10);
	return 0;
}

static int open_once(const struct endpoint *at, const struct mc_login *login, int timeout_ms, const atomic_bool *stop,
	struct mc_server_facts *ret_facts, struct mc_connection **ret, struct error *error)
{
	struct mc_connection *c = malloc(sizeof *c);
	if (!c)
		return error_set(error, -ENOMEM, "no memory");
	memset(c, 0, offsetof(struct mc_connection, stream));
	int r = stream_open(&c->stream, at, timeout_ms, stop, error);
	if (r == 0 && login->user)
		r = log_in(c, at, login, error);
	if (r == 0)
		r = greet(c, at, ret_facts, error);
	if (r < 0) {
		mc_connection_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

int mc_connection_open(const struct endpoint *at, const struct mc_login *login, int timeout_ms, const atomic_bool *stop,
	struct mc_server_facts *ret_facts, struct mc_connection **ret, struct error *error)
{
	struct error why, said;
	const unsigned number = password_file_number(login->password_file);
	int r = open_once(at, login, timeout_ms, stop, ret_facts, ret, error);
	if (r != -EACCES)
		return r;
	/* Whoever rotates a password writes another one there. */
	said = *error;
	int other = password_file_renew(login->password_file, number, &why);
	if (other < 0)
		error_set(error, r, "%.200s; and its password could not be read again: %.280s", said.text, why.text);
	return other > 0 ? open_once(at, login, timeout_ms, stop, ret_facts, ret, error) : r;
}

void mc_connection_close(struct mc_connection *connection)
{
	if (!connection)
		return;
	stream_close(&connection->stream);
	free(connection);
}
