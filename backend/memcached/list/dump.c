/* One dump of one server, as its reader takes it. */
#include "dumps_private.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/event.h"
#include "ckfs/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* A statistic: 1 while the server's crawler runs. */
#define RUNNING "lru_crawler_running"

/* Before a busy server is asked again. */
#define BUSY_MS 50

int dump_open(struct dumps *dumps, struct mc_server *server, struct spool *spool, struct dump **ret)
{
	cleanup_free struct dump *d = calloc(1, sizeof *d);
	if (!d)
		return -ENOMEM;
	d->dumps = dumps;
	d->server = server;
	d->spool = spool;
	d->progress = atomic_load(&server->dumped);
	d->patient_until = clock_ms() + server->pool.timeout_ms;
	pthread_mutex_init(&d->lock, NULL);
	int r = dumps_add(dumps, d);
	if (r < 0)
		pthread_mutex_destroy(&d->lock);
	else
		*ret = steal(d);
	return r;
}

void dump_close(struct dump *dump)
{
	if (!dump)
		return;
	dumps_take_off(dump);
	rest_drop(&dump->rest);
	mc_connection_close(dump->connection);
	pthread_mutex_destroy(&dump->lock);
	free(dump);
}

/* The helpers below run under the lock. */

static int fail(struct dump *d, int r)
{
	rest_drop(&d->rest);
	mc_connection_close(steal(d->connection));
	d->state = DUMP_FAILED;
	return d->failure = r;
}

/* Connects. A server that has stopped to answer is not waited for by all listings. */
static int connect_to(struct dump *d)
{
	struct error ignored;
	struct silence_visit visit;
	int r = silence_enter(&d->server->silence, &d->server->pool, &visit);
	if (r < 0)
		return r;
	r = mc_server_connect(d->server, &d->connection, &ignored);
	silence_leave(&d->server->silence, &d->server->pool, &visit, r);
	return r == -ENOENT || r == -EPROTONOSUPPORT || r == -ECONNRESET ? -EIO : r;
}

static int say(struct dump *d, const char *command, enum dump_state state)
{
	int r = d->connection ? 0 : connect_to(d);
	if (r < 0)
		return r;
	/* Nothing else may be sent with it. */
	buf_puts(&d->connection->stream.out, command);
	r = stream_send(&d->connection->stream);
	d->state = state;
	return r;
}

/*
 * Asks whether the server's crawler runs. While a client does not read its dump, the crawler holds a lock, and who asks for another dump then stops one
 * of the server's threads, with all clients of that. So no dump is asked for while it runs.
 */
static int look(struct dump *d)
{
	d->is_crawling = false;
	return say(d, "stats\r\n", DUMP_LOOKS);
}

static void wait_a_while(struct dump *d)
{
	d->state = DUMP_WAITS;
	d->ask_at = clock_ms() + BUSY_MS;
}

/* A statistic, or the line behind them; an error: there are none, and nothing is known. */
static int take_statistic(struct dump *d, const char *line, size_t n)
{
	struct bytes name, value;
	if (mc_stat_read(line, n, &name, &value)) {
		if (bytes_match(&name, RUNNING, strlen(RUNNING)) && name.left == 0)
			d->is_crawling = bytes_match(&value, "1", 1);
		return 0;
	}
	if (!d->is_crawling)
		return say(d, "lru_crawler metadump hash\r\n", DUMP_GOES);
	wait_a_while(d);
	return 0;
}

/* Waits until a busy server may be asked again. 0; -EINTR; -EAGAIN it was waited for long enough. */
static int wait_for_turn(struct dump *d, const atomic_bool *cancel)
{
	for (;;) {
		const int64_t now = clock_ms();
		const uint64_t progress = atomic_load(&d->server->dumped);
		if (progress != d->progress) {
			d->progress = progress;
			d->patient_until = now + d->server->pool.timeout_ms;
		}
		if (was_cancelled(cancel) || atomic_load(d->dumps->stop))
			return -EINTR;
		if (now >= d->patient_until)
			return -EAGAIN;
		if (now >= d->ask_at)
			return 0;
		poll(NULL, 0, BUSY_MS / 5);
	}
}

/* The next line. 0, -errno. */
static int next_line(struct dump *d, const atomic_bool *cancel, const char **ret, size_t *ret_length)
{
	int r = rest_line(&d->rest, d->spool, &d->connection->stream, cancel, ret, ret_length);
	if (r < 0)
		return r;
	while (r == 0) {
		struct stream *s = &d->connection->stream;
		size_t n;
		const uint8_t *p = stream_peek(s, &n), *end = n ? memchr(p, '\n', n) : NULL;
		if (end) {
			*ret = (const char *)p;
			*ret_length = (size_t)(end - p);
			stream_take(s, *ret_length + 1);
			r = 1;
		} else {
			r = n >= MC_LINE_MAX ? -EIO : stream_fill_unless(s, cancel);
			if (r < 0)
				return r;
		}
	}
	d->taken += *ret_length + 1;
	*ret_length -= *ret_length > 0 && (*ret)[*ret_length - 1] == '\r';
	return 0;
}

bool dump_is_refused(struct mc_server *server)
{
	const bool refuses = atomic_load(&server->no_dump);
	if (atomic_exchange(&server->told_no_dump, refuses) != refuses && refuses)
		log_line(LOG_WARNING, "%.200s: the server lists no keys (-X, or no LRU crawler)", server->node->name);
	return refuses;
}

static int refuse(struct dump *d)
{
	atomic_store(&d->server->no_dump, true);
	dump_is_refused(d->server);
	return -EOPNOTSUPP;
}

static int step(struct dump *d, const atomic_bool *cancel, struct mc_item *ret)
{
	const char *line = NULL;
	size_t n = 0;
	enum mc_dump_kind kind;
	int r = d->state == DUMP_WAITS ? wait_for_turn(d, cancel) : 0;
	if (r == 0 && d->state < DUMP_LOOKS)
		r = look(d);
	if (r == 0)
		r = next_line(d, cancel, &line, &n);
	if (r == 0 && d->state == DUMP_LOOKS)
		return take_statistic(d, line, n);
	if (r == 0)
		r = mc_dump_read(line, n, &kind, ret);
	if (r < 0)
		return r;
	switch (kind) {
	case MC_ITEM:
		atomic_fetch_add_explicit(&d->server->dumped, 1, memory_order_relaxed);
		return 1;
	case MC_DUMP_OK:
		return 0;
	case MC_DUMP_END:
		d->state = DUMP_ENDED;
		return 0;
	case MC_DUMP_BUSY:
		wait_a_while(d);
		return 0;
	case MC_DUMP_REFUSED:
		return refuse(d);
	default:
		return mc_errno(line, n);
	}
}

int dump_next(struct dump *dump, const atomic_bool *cancel, struct mc_item *ret)
{
	LOCK(&dump->lock);
	for (;;) {
		if (dump->state == DUMP_FAILED)
			return dump->failure;
		if (dump->state == DUMP_ENDED)
			return 0;
		int r = was_cancelled(cancel) || atomic_load(dump->dumps->stop) ? -EINTR : step(dump, cancel, ret);
		if (r == -EINTR || r == 1)
			return r;
		/* A listing that was cut off is no empty one, nor a key that is absent. */
		if (r < 0)
			return fail(dump, r == -ECONNRESET || r == -ENOENT ? -EIO : r);
	}
}
