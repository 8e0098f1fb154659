/*
 * Passthrough: the kernel reads and maps content by itself where it is backed (spool.h). It takes no offset, so the file must show that content and
 * nothing else. An inode that is open is read so, or by pages: the kernel refuses to mix them with EIO. What its first open was decides
 * until the last one is closed.
 */
#ifndef CKFS_FUSE_PASSTHROUGH_H
#define CKFS_FUSE_PASSTHROUGH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "reply.h"

struct content;
struct inode;

/* Of a mount. */
struct passthrough {
	pthread_mutex_t lock; /* held while the kernel is told of a descriptor */
	bool agreed;          /* with the kernel, before the first request; opens are counted */
	atomic_bool failed;   /* it turned out not to be possible after all */
};

/* Agrees on it with the kernel: libfuse and the kernel know it, and content can be backed. */
void passthrough_init(struct mount *m, struct fuse_conn_info *conn);

/* Decides how a file is opened, before its open is answered. True: passthrough_close() has to be called when the file is closed. */
bool passthrough_open(struct mount *m, struct inode *inode, const struct content *content, struct fuse_file_info *fi);
void passthrough_close(struct mount *m, struct inode *inode);

#endif
