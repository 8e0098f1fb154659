/* Threads of ckfs, besides those that libfuse starts. */
#ifndef CKFS_THREAD_H
#define CKFS_THREAD_H

#include <pthread.h>

/*
 * Starts a thread that leaves to others what signals tell the process. Those that its own fault raises reach it: blocked, they would end the
 * process without a word of a sanitizer. 0, -EAGAIN.
 */
int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg);

/* How many CPUs this process may use; at least 1. */
unsigned thread_cpus(void);

#endif
