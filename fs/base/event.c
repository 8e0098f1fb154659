#include "ckfs/event.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>

/* How often a wait looks whether it was cancelled. */
#define LOOK_MS 50

void event_init(struct event *event, bool told)
{
	pthread_condattr_t attr;
	pthread_mutex_init(&event->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&event->told, &attr);
	pthread_condattr_destroy(&attr);
	event->is_told = told;
}

void event_done(struct event *event)
{
	pthread_cond_destroy(&event->told);
	pthread_mutex_destroy(&event->lock);
}

void event_tell(struct event *event)
{
	/* Who waits may end the event as soon as the lock is free. */
	LOCK(&event->lock);
	event->is_told = true;
	pthread_cond_signal(&event->told);
}

static void wait_a_moment(struct event *event)
{
	const int64_t look = clock_ms() + LOOK_MS;
	const struct timespec at = {.tv_sec = look / 1000, .tv_nsec = look % 1000 * 1000000};
	pthread_cond_timedwait(&event->told, &event->lock, &at);
}

int event_take(struct event *event, const atomic_bool *cancel)
{
	LOCK(&event->lock);
	int r = event->is_told ? 0 : 1;
	while (!event->is_told && r == 1) {
		if (was_cancelled(cancel))
			r = -EINTR;
		else
			wait_a_moment(event);
	}
	if (r >= 0)
		event->is_told = false;
	return r;
}

bool event_try(struct event *event)
{
	LOCK(&event->lock);
	const bool was_told = event->is_told;
	event->is_told = false;
	return was_told;
}
