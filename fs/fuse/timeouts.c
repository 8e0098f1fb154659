#include "timeouts.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <stddef.h>

/* The kernel asks again within so many milliseconds, also on a busy machine. */
#define AGAIN_MS 50

void timeouts_note(struct timeouts *timeouts, uint64_t name)
{
	size_t i = name % TIMEOUTS;
	LOCK(&timeouts->lock);
	bool goes_on = timeouts->last[i].name == name && clock_ms() < timeouts->last[i].until;
	timeouts->last[i].owed = goes_on ? timeouts->last[i].owed + 1 : 1;
	timeouts->last[i].name = name;
	timeouts->last[i].until = clock_ms() + AGAIN_MS;
}

bool timeouts_take(struct timeouts *timeouts, uint64_t name)
{
	size_t i = name % TIMEOUTS;
	LOCK(&timeouts->lock);
	bool is = timeouts->last[i].name == name && timeouts->last[i].owed > 0 && clock_ms() < timeouts->last[i].until;
	if (is)
		timeouts->last[i].owed--;
	return is;
}
