/* Signals: SIGTERM and SIGINT end the mount, SIGHUP drops what is kept. One thread waits for them. */
#ifndef CKFS_SIGNALS_H
#define CKFS_SIGNALS_H

#include "mount.h"

struct signals {
	struct mount *m;
	pthread_t thread, main;
	atomic_bool asked; /* the mount is to end */
	atomic_bool ended; /* the loop has */
};

/* Blocks them in this thread and those it will start. To be called before there are others. */
void signals_block(void);

/* Starts to wait, for the loops that this thread is about to enter, one after the other. 0, -errno. */
int signals_start(struct signals *signals, struct mount *m);

/* The last loop has ended. */
void signals_stop(struct signals *signals);

#endif
