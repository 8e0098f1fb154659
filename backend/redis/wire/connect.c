/* Opening a connection: what is said first, and what is told of a server that does not answer as it should. */
#include "version.h"

#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What to do about a server that has TLS. */
#define WITH_TLS "; does it have TLS? then use rediss://, rediss-cluster:// or rediss-sentinel://"
#define NO_REDIS "this is no Redis server"

/* Why there is no answer. */
static int explain(struct redis_connection *c, const struct redis_target *target, int r, struct error *error)
{
	int explained = stream_explain(&c->stream, &target->at, error);
	if (explained < 0)
		return explained;
	/* A server that waits for a handshake ends like that, too. */
	const bool may_want_tls = (r == -ECONNRESET || r == -EIO) && !target->at.tls && !target->at.path;
	return error_set(error, r, "%.200s: %s%s", endpoint_name(&target->at),
		r == -ETIMEDOUT ? "timed out; is this a Redis server?" : r == -ECONNRESET ? "the server has closed the connection"
		: r == -EIO ? NO_REDIS : strerror(-r), may_want_tls ? WITH_TLS : "");
}

static bool begins_with(struct bytes text, const char *word)
{
	return bytes_match(&text, word, strlen(word));
}

/* What to do about an error. */
static const char *advice(const struct redis_target *target, int r, struct bytes text)
{
	static const char give[] = "; give user and password in the URL or -o password_file=";
	if (r != -EACCES)
		return "";
	if (!target->user && !redis_target_has_password(target))
		return give;
	/* SELECT or PING. */
	if (begins_with(text, "NOPERM"))
		return "; this user needs +@connection";
	/* Else the server wants no login, or nobody from where we are. */
	return begins_with(text, "WRONGPASS") || begins_with(text, "NOAUTH") || begins_with(text, "ERR invalid password") ? give : "";
}

/* The answer to one command of the login. */
static int read_answer(struct redis_connection *c, const struct redis_target *target, struct error *error)
{
	struct reply reply = {0};
	int r = connection_head(c, &reply);
	if (r < 0)
		return explain(c, target, r, error);
	if (reply.kind == REPLY_STATUS)
		return 0;
	if (reply.kind != REPLY_ERROR)
		return error_set(error, -EIO, "%.200s: " NO_REDIS, endpoint_name(&target->at));
	r = reply_errno(&reply.text);
	/* A PING is answered so like a change, and readers are served. */
	if (r == REPLY_READERS_ONLY)
		return 0;
	struct buf text = {0};
	buf_escaped(&text, reply.text.p, reply.text.left, 200);
	buf_put(&text, "", 1);
	r = r == -ENOSYS || r == -EPROTOTYPE ? -EIO : r;
	error_set(error, r, "%.200s: %s%s", endpoint_name(&target->at), text.failed ? "no memory" : text.p, advice(target, r, reply.text));
	buf_done(&text);
	return r;
}

static void put_login(struct redis_connection *c, const struct redis_target *target)
{
	char from_file[PASSWORD_MAX + 1] = "";
	const char *password = target->password;
	if (target->password_file) {
		password_file_get(target->password_file, from_file);
		password = from_file;
	}
	if (target->user)
		connection_put_text(c, "AUTH", target->user, password ? password : "", NULL);
	else if (password)
		connection_put_text(c, "AUTH", password, NULL);
	sodium_memzero(from_file, sizeof from_file);
}

/* HELLO has some seven members. */
static void put_greeting(struct redis_connection *c, const struct redis_target *target)
{
	char db[24];
	snprintf(db, sizeof db, "%lld", (long long)target->db);
	put_login(c, target);
	if (!target->is_sentinel)
		connection_put_text(c, "SELECT", db, NULL);
	connection_put_text(c, "CLIENT", "SETNAME", "ckfs", NULL);
	connection_put_text(c, "HELLO", NULL);
	connection_put_text(c, "PING", NULL);
}

static int log_in(struct redis_connection *c, const struct redis_target *target, struct error *error)
{
	struct reply ignored;
	bool has_login = target->user || redis_target_has_password(target);
	put_greeting(c, target);
	int r = connection_send(c);
	sodium_memzero(c->stream.out.p, c->stream.out.capacity);
	/* What the server had to say before it closed can still be read. */
	if (r < 0 && r != -ECONNRESET)
		return error_set(error, r, "%.200s: %s", endpoint_name(&target->at), strerror(-r));
	r = has_login ? read_answer(c, target, error) : 0;
	if (r == 0 && !target->is_sentinel)
		r = read_answer(c, target, error);
	if (r < 0)
		return r;
	/* Of these two none has to be known. */
	r = connection_head(c, &ignored);
	r = r < 0 ? r : server_version_read(c, &c->version);
	if (r < 0)
		return explain(c, target, r, error);
	/* A server that is loading answers this with an error, and all else later too. */
	return read_answer(c, target, error);
}

/* Has the server keep its order of eviction: to look into a cache is no use of it. */
static int leave_no_touch(struct redis_connection *c, const struct redis_target *target, struct error *error)
{
	struct reply ignored;
	if (target->is_sentinel || !server_bears_no_touch(&c->version))
		return 0;
	connection_put_text(c, "CLIENT", "NO-TOUCH", "ON", NULL);
	int r = connection_send(c);
	if (r == 0)
		r = connection_head(c, &ignored);
	return r < 0 ? explain(c, target, r, error) : 0;
}

static int open_once(const struct redis_target *target, int timeout_ms, struct redis_connection **ret, struct error *error)
{
	struct redis_connection *c = malloc(sizeof *c);
	if (!c)
		return error_set(error, -ENOMEM, "no memory");
	memset(c, 0, offsetof(struct redis_connection, stream));
	int r = stream_open(&c->stream, &target->at, timeout_ms, target->stop, error);
	if (r == 0)
		r = log_in(c, target, error);
	if (r == 0)
		r = leave_no_touch(c, target, error);
	if (r < 0) {
		connection_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

/* Whether a login that failed is worth another try: the password file has another one by now. Else the error tells if it could not be read. */
static bool has_other_password(const struct redis_target *target, unsigned number, struct error *error)
{
	struct error why, said = *error;
	int r = password_file_renew(target->password_file, number, &why);
	if (r < 0)
		error_set(error, r, "%.200s; and its password could not be read again: %.280s", said.text, why.text);
	return r > 0;
}

int connection_open(const struct redis_target *target, int timeout_ms, struct redis_connection **ret, struct error *error)
{
	unsigned number = password_file_number(target->password_file);
	int r = open_once(target, timeout_ms, ret, error);
	if (r == -EACCES && has_other_password(target, number, error))
		r = open_once(target, timeout_ms, ret, error);
	return r;
}

void connection_close(struct redis_connection *connection)
{
	if (!connection)
		return;
	stream_close(&connection->stream);
	free(connection);
}
