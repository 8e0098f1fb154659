#include "latency.h"

#include "mount.h"

#include "ckfs/clock.h"

static _Thread_local struct latency taken;

void latency_begin(enum stats_request operation)
{
	taken = (struct latency){.operation = operation, .began = clock_ns()};
}

struct latency latency_take(void)
{
	const struct latency latency = taken;
	taken.began = 0;
	return latency;
}

void latency_count(struct mount *m, const struct latency *latency)
{
	if (latency->began)
		stats_time_request(&m->stats, latency->operation, clock_ns() - latency->began);
}

void latency_end(struct mount *m)
{
	const struct latency latency = latency_take();
	latency_count(m, &latency);
}
