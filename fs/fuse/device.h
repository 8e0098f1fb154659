/*
 * What goes to the kernel and comes from it, where libfuse needs help.
 *
 * Lookups and listings of one directory at the same time: without them the kernel lets in one after the other, and who waits there for one that
 * waits for a server hears no signal. libfuse before 3.17 accepts the wish (FUSE_CAP_PARALLEL_DIROPS) and does not pass it on, so it is put into
 * the answer to the kernel's INIT, as it goes out.
 *
 * A call that fails for want of memory: libfuse drops a reply that could not be written, and its caller would wait for ever; and it ends the mount
 * when a request could not be read.
 */
#ifndef CKFS_FUSE_DEVICE_H
#define CKFS_FUSE_DEVICE_H

#include "mount.h"

/* Once mounted, and before it serves. 0, -errno. */
int device_prepare(struct mount *m);

/* From init, with what the kernel can do. */
void device_init(struct mount *m, const struct fuse_conn_info *conn);

#endif
