/*
 * Waiting for what mostly comes at once: the answer of a server on the same machine, the next request of a process that
 * has just got an answer. To fall asleep and be woken takes longer than that, tens of microseconds on a machine with
 * several CPUs. So the descriptor is asked again and again for a moment first, and others run meanwhile.
 *
 * Where nothing comes in that moment, it is tried ever less often: a wait for a server far away costs nothing more. Where
 * the process may run on one CPU alone, nothing is asked.
 */
#ifndef CKFS_BUSY_POLL_H
#define CKFS_BUSY_POLL_H

#include <stdatomic.h>
#include <stdbool.h>

/* How it went with one source so far. All zeros at first. Threads may share it: a count that is lost does no harm. */
struct busy_poll {
	atomic_uint pause; /* waits that are left out after each that was tried, 0 or a power of two */
	atomic_uint rest;  /* of them still to come */
};

/* Whether poll(2) has something to say of fd now or in a moment, also POLLERR and the like. False: it is to be waited for. */
bool busy_poll(struct busy_poll *state, int fd, short events);

#endif
