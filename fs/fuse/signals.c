#include "signals.h"

#include "ckfs/thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/* Wakes the thread that waits for the loop's end, and tells the waiting thread that it has come. */
#define WAKE SIGUSR1

#define WAKE_AGAIN_MS 20

static void set_of_all(sigset_t *set)
{
	struct sigaction interrupt;
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	/* A shell has its background jobs ignore ^C. */
	sigaction(SIGINT, NULL, &interrupt);
	if (interrupt.sa_handler != SIG_IGN)
		sigaddset(set, SIGINT);
}

void signals_block(void)
{
	sigset_t set;
	set_of_all(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void on_wake(int number)
{
	(void)number;
}

/*
 * libfuse's loop looks at the flag and then waits for a semaphore: a wake-up between the two is lost, so it is
 * repeated until the loop has ended.
 */
static void end_loop(struct signals *s)
{
	const struct timespec pause = {.tv_nsec = WAKE_AGAIN_MS * 1000000L};
	/* The loop ends with the last of its threads, and some may wait for a server. */
	s->asked = true;
	backend_stop(s->m->backend);
	while (!s->ended) {
		fuse_session_exit(s->m->session);
		pthread_kill(s->main, WAKE);
		nanosleep(&pause, NULL);
	}
}

static void drop(struct mount *m)
{
	backend_forget(m->backend);
	entries_drop(m->entries);
}

static void *signals_thread(void *arg)
{
	struct signals *s = arg;
	sigset_t set;
	set_of_all(&set);
	sigaddset(&set, WAKE);
	for (;;) {
		int number = 0;
		if (sigwait(&set, &number) != 0)
			continue;
		if (s->ended)
			break;
		if (number == SIGHUP)
			drop(s->m);
		else if (number != WAKE)
			end_loop(s);
		if (s->ended)
			break;
	}
	return NULL;
}

int signals_start(struct signals *signals, struct mount *m)
{
	struct sigaction action = {.sa_handler = on_wake};
	signals->m = m;
	signals->main = pthread_self();
	signals->asked = signals->ended = false;
	sigemptyset(&action.sa_mask);
	sigaction(WAKE, &action, NULL);
	return thread_start(&signals->thread, signals_thread, signals);
}

void signals_stop(struct signals *signals)
{
	signals->ended = true;
	pthread_kill(signals->thread, WAKE);
	pthread_join(signals->thread, NULL);
}
