#include "errand.h"

#include "pending.h"

#include "ckfs/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* EARLY: it was interrupted before it began. */
enum { STARTING, EARLY, WAITING, ANSWERING, INTERRUPTED };

static void answer(struct errand *errand, int r)
{
	errand->finish(errand, r);
	if (errand->done)
		errand->done(errand);
}

static bool moves(struct errand *errand, int from, int to)
{
	return atomic_compare_exchange_strong(&errand->state, &from, to);
}

/* Who was interrupted is answered at once; what the backend says then is dropped. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct errand *errand = data;
	/* libfuse may call this while it is told of it, and goes on to use the request. */
	if (moves(errand, STARTING, EARLY) || !moves(errand, WAITING, INTERRUPTED))
		return;
	errand->cancelled = true;
	fuse_reply_err(req, EINTR);
	if (atomic_exchange(&errand->one_side_left, true))
		free(errand);
}

/* Asks, and answers unless an interrupt has. */
static void run(struct errand *errand)
{
	/* One that had to wait for a thread may have been in vain by then. */
	int r = errand->state == INTERRUPTED ? -EINTR : errand->ask(errand);
	bool answers = moves(errand, WAITING, ANSWERING);
	if (answers) {
		/* Waits for an interrupt that is just being handled: none comes after this. */
		fuse_req_interrupt_func(errand->req, NULL, NULL);
		errand->finish(errand, r);
	}
	if (errand->done)
		errand->done(errand);
	if (answers || atomic_exchange(&errand->one_side_left, true))
		free(errand);
}

static void run_elsewhere(struct work *work)
{
	run(container_of(work, struct errand, work));
}

/*
 * Handing over to another thread costs as much as asking a server nearby. So the request's thread waits itself, as long as there
 * is another one that takes requests, and interrupts.
 */
static bool run_here(struct errand *errand)
{
	struct mount *m = errand->m;
	bool may = atomic_fetch_add(&m->waiting, 1) + 1 < m->options->max_threads;
	if (may)
		run(errand);
	atomic_fetch_sub(&m->waiting, 1);
	return may;
}

/* Has it heard of interrupts. False: there was one already, and it is answered. */
static bool begin(struct errand *errand)
{
	fuse_req_interrupt_func(errand->req, on_interrupt, errand);
	if (moves(errand, STARTING, WAITING))
		return true;
	fuse_req_interrupt_func(errand->req, NULL, NULL);
	fuse_reply_err(errand->req, EINTR);
	if (errand->done)
		errand->done(errand);
	free(errand);
	return false;
}

void errand_answer(struct errand *errand)
{
	errand->pid = fuse_req_ctx(errand->req)->pid;
	answer(errand, 0);
}

void errand_start(struct errand *errand, size_t size)
{
	struct mount *m = errand->m;
	errand->pid = fuse_req_ctx(errand->req)->pid;
	if (!m->waiters) {
		answer(errand, errand->ask(errand));
		return;
	}
	struct errand *own = malloc(size);
	if (!own) {
		reply_error(m, errand->req, -ENOMEM);
		if (errand->done)
			errand->done(errand);
		return;
	}
	memcpy(own, errand, size);
	own->work.run = run_elsewhere;
	if (begin(own) && !run_here(own))
		work_submit(m->waiters, &own->work);
}
