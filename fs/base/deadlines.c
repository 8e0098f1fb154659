#include "ckfs/deadlines.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/thread.h"

void deadlines_init(struct deadlines *deadlines, int64_t ms, void (*over)(struct deadline *deadline))
{
	pthread_condattr_t attr;
	*deadlines = (struct deadlines){.ms = ms, .over = over};
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&deadlines->lock, NULL);
	pthread_cond_init(&deadlines->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline)
{
	*(deadline->before ? &deadline->before->after : &deadlines->first) = deadline->after;
	*(deadline->after ? &deadline->after->before : &deadlines->last) = deadline->before;
	deadline->before = deadline->after = NULL;
	deadline->at = 0;
	deadlines->count--;
}

static void wait_until(struct deadlines *deadlines, int64_t at)
{
	const struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
	pthread_cond_timedwait(&deadlines->changed, &deadlines->lock, &until);
}

static void *deadlines_thread(void *arg)
{
	struct deadlines *deadlines = arg;
	LOCK(&deadlines->lock);
	while (!deadlines->ending) {
		struct deadline *first = deadlines->first;
		if (!first) {
			pthread_cond_wait(&deadlines->changed, &deadlines->lock);
		} else if (clock_ms() < first->at) {
			wait_until(deadlines, first->at);
		} else {
			deadlines_remove(deadlines, first);
			pthread_mutex_unlock(&deadlines->lock);
			deadlines->over(first);
			pthread_mutex_lock(&deadlines->lock);
		}
	}
	return NULL;
}

void deadlines_add(struct deadlines *deadlines, struct deadline *deadline)
{
	bool was_empty = !deadlines->first;
	*deadline = (struct deadline){.before = deadlines->last, .at = clock_ms() + deadlines->ms};
	*(deadlines->last ? &deadlines->last->after : &deadlines->first) = deadline;
	deadlines->last = deadline;
	deadlines->count++;
	if (!deadlines->started)
		deadlines->started = thread_start(&deadlines->thread, deadlines_thread, deadlines) == 0;
	else if (was_empty)
		pthread_cond_signal(&deadlines->changed);
}

static struct deadline *take_first(struct deadlines *deadlines)
{
	LOCK(&deadlines->lock);
	struct deadline *first = deadlines->first;
	if (first)
		deadlines_remove(deadlines, first);
	return first;
}

void deadlines_drop(struct deadlines *deadlines)
{
	struct deadline *first;
	while ((first = take_first(deadlines)))
		deadlines->over(first);
}

static void end_thread(struct deadlines *deadlines)
{
	LOCK(&deadlines->lock);
	deadlines->ending = true;
	pthread_cond_signal(&deadlines->changed);
}

void deadlines_done(struct deadlines *deadlines)
{
	end_thread(deadlines);
	if (deadlines->started)
		pthread_join(deadlines->thread, NULL);
	deadlines_drop(deadlines);
	pthread_cond_destroy(&deadlines->changed);
	pthread_mutex_destroy(&deadlines->lock);
}
