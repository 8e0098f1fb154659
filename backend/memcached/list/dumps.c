#include "dumps_private.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/thread.h"

#include <errno.h>
#include <stdlib.h>

/* How often it is looked whether dumps are read fast enough, and how much of each is read meanwhile at least. */
#define DRAIN_MS 200
#define DRAINED_BYTES ((size_t)512 << 10)

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

int dumps_add(struct dumps *dumps, struct dump *dump)
{
	struct dump *d = dump;
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

void dumps_take_off(struct dump *dump)
{
	struct dump *d = dump;
	LOCK(&d->dumps->lock);
	*(d->newer ? &d->newer->older : &d->dumps->newest) = d->older;
	if (d->older)
		d->older->newer = d->newer;
}
