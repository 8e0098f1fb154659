#include "dumps.h"
#include "rest.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/event.h"
#include "ckfs/log.h"
#include "ckfs/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* How often it is looked whether dumps are read fast enough, and how much of each is read meanwhile at least. */
#define DRAIN_MS 200
#define DRAINED_BYTES ((size_t)512 << 10)

/* Before a busy server is asked again. */
#define BUSY_MS 50

enum dump_state { DUMP_NEW, DUMP_WAITS, DUMP_GOES, DUMP_ENDED, DUMP_FAILED };

struct dump {
	struct dumps *dumps;
	struct dump *newer, *older; /* protected by dumps->lock */
	struct mc_server *server;
	struct spool *spool;
	int64_t ask_at;        /* monotonic ms: not before that; of DUMP_WAITS */
	int64_t patient_until; /* monotonic ms */
	uint64_t progress;     /* of the server's dumps, when it was looked at last */
	pthread_mutex_t lock;
	/* protected by lock */
	enum dump_state state;
	int failure;
	struct mc_connection *connection; /* NULL: none */
	size_t taken;             /* bytes that were read since the last look at its speed */
	struct rest rest;         /* what was read ahead */
};

struct dumps {
	const atomic_bool *stop;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* protected by lock */
	struct dump *newest;
	pthread_t thread;
	bool has_thread, is_over;
};

/* --- what is read ahead --- */

/* What a connection has lost is told to the reader, when it gets there. */
static void drain(struct dump *d)
{
	const size_t before = d->taken;
	d->taken = 0;
	if (d->state != DUMP_GOES || before >= DRAINED_BYTES)
		return;
	for (size_t left = DRAINED_BYTES - before; left > 0;) {
		size_t n;
		int r = rest_put(&d->rest, d->spool, &d->connection->stream, SIZE_MAX);
		if (r == 0)
			r = stream_fill_now(&d->connection->stream);
		if (r <= 0)
			break;
		atomic_fetch_add_explicit(&d->server->dumped, 1, memory_order_relaxed);
		stream_peek(&d->connection->stream, &n);
		left -= n < left ? n : left;
	}
}

static void *keep(void *arg)
{
	struct dumps *dumps = arg;
	LOCK(&dumps->lock);
	while (!dumps->is_over) {
		if (!dumps->newest) {
			pthread_cond_wait(&dumps->changed, &dumps->lock);
			continue;
		}
		const int64_t look = clock_ms() + DRAIN_MS;
		const struct timespec at = {.tv_sec = look / 1000, .tv_nsec = look % 1000 * 1000000};
		if (pthread_cond_timedwait(&dumps->changed, &dumps->lock, &at) != ETIMEDOUT)
			continue;
		for (struct dump *d = dumps->newest; d; d = d->older)
			if (pthread_mutex_trylock(&d->lock) == 0) {
				drain(d);
				pthread_mutex_unlock(&d->lock);
			}
	}
	return NULL;
}

int dumps_new(const atomic_bool *stop, struct dumps **ret)
{
	pthread_condattr_t attr;
	struct dumps *dumps = calloc(1, sizeof *dumps);
	if (!dumps)
		return -ENOMEM;
	dumps->stop = stop;
	pthread_mutex_init(&dumps->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&dumps->changed, &attr);
	pthread_condattr_destroy(&attr);
	*ret = dumps;
	return 0;
}

void dumps_free(struct dumps *dumps)
{
	if (!dumps)
		return;
	pthread_mutex_lock(&dumps->lock);
	dumps->is_over = true;
	pthread_cond_signal(&dumps->changed);
	pthread_mutex_unlock(&dumps->lock);
	if (dumps->has_thread)
		pthread_join(dumps->thread, NULL);
	pthread_cond_destroy(&dumps->changed);
	pthread_mutex_destroy(&dumps->lock);
	free(dumps);
}

/* --- one dump --- */

static int add(struct dumps *dumps, struct dump *d)
{
	LOCK(&dumps->lock);
	if (!dumps->has_thread) {
		int r = thread_start(&dumps->thread, keep, dumps);
		if (r < 0)
			return r;
		dumps->has_thread = true;
	}
	d->older = dumps->newest;
	if (d->older)
		d->older->newer = d;
	dumps->newest = d;
	pthread_cond_signal(&dumps->changed);
	return 0;
}

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
	int r = add(dumps, d);
	if (r < 0)
		pthread_mutex_destroy(&d->lock);
	else
		*ret = steal(d);
	return r;
}

static void take_off(struct dump *d)
{
	LOCK(&d->dumps->lock);
	*(d->newer ? &d->newer->older : &d->dumps->newest) = d->older;
	if (d->older)
		d->older->newer = d->newer;
}

void dump_close(struct dump *dump)
{
	if (!dump)
		return;
	take_off(dump);
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

static int ask(struct dump *d)
{
	int r = d->connection ? 0 : connect_to(d);
	if (r < 0)
		return r;
	/* Nothing else may be sent with it. */
	buf_puts(&d->connection->stream.out, "lru_crawler metadump hash\r\n");
	r = stream_send(&d->connection->stream);
	d->state = DUMP_GOES;
	return r;
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
	if (r == 0 && d->state != DUMP_GOES)
		r = ask(d);
	if (r == 0)
		r = next_line(d, cancel, &line, &n);
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
		d->state = DUMP_WAITS;
		d->ask_at = clock_ms() + BUSY_MS;
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
		int r = step(dump, cancel, ret);
		if (r == -EINTR || r == 1)
			return r;
		/* A listing that was cut off is no empty one, nor a key that is absent. */
		if (r < 0)
			return fail(dump, r == -ECONNRESET || r == -ENOENT ? -EIO : r);
	}
}
