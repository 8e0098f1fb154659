/*
 * Lookups and listings of one directory at the same time. Without that the kernel lets in one after the other, and who waits there for one that
 * waits for a server hears no signal.
 *
 * libfuse before 3.17 takes the wish for it (FUSE_CAP_PARALLEL_DIROPS) and does not tell the kernel. There it is put into the answer to the
 * kernel's INIT, as it goes out.
 */
#ifndef CKFS_FUSE_PARALLEL_H
#define CKFS_FUSE_PARALLEL_H

#include "mount.h"

/* Once mounted, and before it serves. 0, -errno. */
int parallel_prepare(struct mount *m);

/* From init, with what the kernel can do. */
void parallel_init(struct mount *m, const struct fuse_conn_info *conn);

#endif
