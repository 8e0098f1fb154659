/* Inodes that are let go. */
#ifndef CKFS_FUSE_FORGET_H
#define CKFS_FUSE_FORGET_H

#include "mount.h"

/* Lets go of an inode, so many times as it was given or held; with the last one goes what was promised of it (retries.h). */
void inode_let_go(struct mount *m, uint64_t ino, uint64_t times);

#endif
