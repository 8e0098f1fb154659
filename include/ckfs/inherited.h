/*
 * Puts in order what a process inherits from its starter (a shell, nohup, cron, a JVM, a container's runtime): descriptors, signals, limits,
 * environment. No other code looks at these.
 */
#ifndef CKFS_INHERITED_H
#define CKFS_INHERITED_H

/*
 * Call this first in main(), before anything opens a descriptor or starts a thread. What cannot be changed stays as it is.
 *
 * Descriptors 0 to 2 are open afterwards. No signal is blocked; SIGPIPE, SIGXFSZ and SIGXCPU are ignored, so that writing fails with an errno
 * instead; children can be waited for. Soft limits are raised to the hard ones, and threads have the usual stack. PATH names the usual
 * directories too, and what is made is private.
 */
void inherited_settle(void);

/*
 * Closes the other descriptors that were open at the start: who waits for the end of a pipe would wait for the daemon. Call this after the files
 * that the options name were opened, since these may be /dev/fd/N.
 */
void inherited_close(void);

/* A descriptor like /dev/null, to replace a standard stream. -1: no descriptor is free. */
int inherited_nowhere(void);

#endif
