/* The first open of a small file gives its pages to the kernel, so that reading it takes no further request: it costs LOOKUP and OPEN. */
#ifndef CKFS_FILL_H
#define CKFS_FILL_H

#include "mount.h"

/* Larger files are read. */
#define FILL_MAX (64u << 10)

/* Gives the content of an inode to the kernel, once. Call it before the open is answered. If it fails, the file is read. */
void fill_pages(struct mount *m, struct inode *inode, const struct content *content);

#endif
