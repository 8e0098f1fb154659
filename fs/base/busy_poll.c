#include "ckfs/busy_poll.h"

#include "ckfs/clock.h"
#include "ckfs/thread.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>

/* The moment: a little more than it takes to sleep and to be woken. */
#define MOMENT_NS 50000

/* Who keeps a CPU for so long is not the one that is to answer. */
#define TAKEN_AWAY_NS 1000000

#define PAUSE_MAX 1024u

static bool is_ready(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};
	return poll(&p, 1, 0) > 0;
}

static bool has_one_cpu;

static void count_cpus(void)
{
	has_one_cpu = thread_cpus() == 1;
}

/* On one CPU all who are to run come before the thread that yields: it may sleep as well. */
static bool is_of_use(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, count_cpus);
	return !has_one_cpu;
}

enum outcome { CAME, CAME_NOT, TAKEN_AWAY };

/* Yields, so that who is to answer may run on this very CPU. Who else has work for it may then keep it for milliseconds. */
static enum outcome poll_for_a_moment(int fd, short events)
{
	int64_t end = clock_ns() + MOMENT_NS;
	for (;;) {
		int64_t before = clock_ns();
		if (before >= end)
			return CAME_NOT;
		sched_yield();
		if (clock_ns() - before >= TAKEN_AWAY_NS)
			return TAKEN_AWAY;
		if (is_ready(fd, events))
			return CAME;
	}
}

static unsigned pause_after(enum outcome outcome, unsigned pause)
{
	switch (outcome) {
	case CAME:
		return pause / 2;
	case CAME_NOT:
		return pause == 0 ? 1 : pause < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
	default:
		return PAUSE_MAX;
	}
}

bool busy_poll(struct busy_poll *state, int fd, short events)
{
	if (!is_of_use())
		return false;
	if (is_ready(fd, events))
		return true;
	unsigned rest = atomic_load_explicit(&state->rest, memory_order_relaxed);
	if (rest > 0) {
		atomic_store_explicit(&state->rest, rest - 1, memory_order_relaxed);
		return false;
	}
	enum outcome outcome = poll_for_a_moment(fd, events);
	unsigned pause = pause_after(outcome, atomic_load_explicit(&state->pause, memory_order_relaxed));
	atomic_store_explicit(&state->pause, pause, memory_order_relaxed);
	atomic_store_explicit(&state->rest, pause, memory_order_relaxed);
	return outcome == CAME;
}
