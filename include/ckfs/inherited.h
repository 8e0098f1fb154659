/*
 * What a process has from whoever started it (a shell, nohup, cron, a JVM, a container's runtime), put in order: descriptors, signals,
 * limits, environment. Nobody else looks at these.
 */
#ifndef CKFS_INHERITED_H
#define CKFS_INHERITED_H

/*
 * The first thing main() does, before anything opens a descriptor or starts a thread. Best effort: what cannot be changed stays.
 *
 * Descriptors 0 to 2 are open afterwards. No signal is blocked; SIGPIPE, SIGXFSZ and SIGXCPU are ignored, so that writing fails with an errno
 * instead; children can be waited for. Soft limits are raised to the hard ones, and threads have the usual stack. PATH names the usual
 * directories too, and what is made is private.
 */
void inherited_settle(void);

/*
 * Closes the other descriptors that were open at the start: whoever waits for the end of a pipe would wait for ours. Call it when all that
 * the options name was opened, as that may be /dev/fd/N.
 */
void inherited_close(void);

/* A descriptor that nothing comes from and nothing goes to, for where a standard stream was. -1: none is left. */
int inherited_nowhere(void);

/* How many CPUs this process may use; at least 1. */
unsigned inherited_cores(void);

#endif
