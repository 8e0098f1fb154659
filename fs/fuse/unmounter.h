/*
 * The process that unmounts for a daemon which is confined: that takes root's capabilities or the setuid fusermount3. It was forked before,
 * holds nothing but one socket, and does one thing when it is told to, which is to unmount. When the daemon dies it ends, and leaves the mount
 * as a dead daemon leaves it.
 */
#ifndef CKFS_FUSE_UNMOUNTER_H
#define CKFS_FUSE_UNMOUNTER_H

#include <sys/types.h>

struct fuse_session;
struct keyring;

struct unmounter {
	const char *mountpoint; /* borrowed */
	dev_t device;           /* of the mount; 0: unknown */
	int nowhere;            /* what takes the place of the connection at the end */
	pid_t pid;
	int socket; /* -1: there is none, who serves unmounts by itself */
};

/* Once mounted: remembers what is to be unmounted. 0, -errno. */
int unmounter_prepare(struct unmounter *unmounter, const char *mountpoint);

/*
 * Starts it, while there are no other threads. What it inherits of secrets is wiped: its arguments (NULL-terminated), and the keyring.
 * 0; -errno.
 */
int unmounter_start(struct unmounter *unmounter, struct fuse_session *session, char **arguments, struct keyring *keyring);

/* Ends the session's connection, unmounts if that is still to be done, and waits for it. In place of fuse_session_unmount(). */
void unmounter_end(struct unmounter *unmounter, struct fuse_session *session);

#endif
