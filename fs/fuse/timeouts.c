#include "timeouts.h"

#include "ckfs/clock.h"

/* The kernel asks again within so many milliseconds, on a busy machine too. */
#define AGAIN_MS 50

static size_t place_of(pid_t pid)
{
	return (size_t)pid % TIMEOUTS;
}

void timeouts_note(struct timeouts *timeouts, pid_t pid, uint64_t name)
{
	size_t i = place_of(pid);
	pthread_mutex_lock(&timeouts->lock);
	timeouts->last[i].pid = pid;
	timeouts->last[i].name = name;
	timeouts->last[i].until = clock_ms() + AGAIN_MS;
	pthread_mutex_unlock(&timeouts->lock);
}

bool timeouts_take(struct timeouts *timeouts, pid_t pid, uint64_t name)
{
	size_t i = place_of(pid);
	pthread_mutex_lock(&timeouts->lock);
	bool is = timeouts->last[i].pid == pid && timeouts->last[i].name == name && clock_ms() < timeouts->last[i].until;
	if (is)
		timeouts->last[i].until = 0;
	pthread_mutex_unlock(&timeouts->lock);
	return is;
}
