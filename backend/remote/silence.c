#include "silence.h"

#include "ckfs/cleanup.h"

#include <errno.h>

void silence_init(struct silence *silence)
{
	*silence = (struct silence){.is_silent = false};
	pthread_mutex_init(&silence->lock, NULL);
}

void silence_done(struct silence *silence)
{
	pthread_mutex_destroy(&silence->lock);
}

bool silence_is_on(struct silence *silence)
{
	LOCK(&silence->lock);
	return silence->is_silent;
}

int silence_enter(struct silence *silence, const struct pool *pool, struct silence_visit *ret)
{
	LOCK(&silence->lock);
	*ret = (struct silence_visit){.progress = atomic_load(&pool->progress)};
	if (silence->is_silent && silence->progress != ret->progress)
		silence->is_silent = false;
	if (!silence->is_silent)
		return 0;
	if (silence->is_tried)
		return -ETIMEDOUT;
	ret->tries = silence->is_tried = true;
	return 0;
}

void silence_leave(struct silence *silence, const struct pool *pool, const struct silence_visit *visit, int r)
{
	LOCK(&silence->lock);
	const uint64_t progress = atomic_load(&pool->progress);
	if (visit->tries)
		silence->is_tried = false;
	/* One who went away has learnt nothing. */
	if (r == -ETIMEDOUT && progress == visit->progress) {
		silence->is_silent = true;
		silence->progress = progress;
	} else if (r != -ETIMEDOUT && r != -EINTR) {
		silence->is_silent = false;
	}
}
