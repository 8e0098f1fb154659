/*
 * The pages of a small file are given to the kernel with its first open, so that reading it takes no request of its own: a small file
 * costs LOOKUP and OPEN.
 */
#ifndef CKFS_FILL_H
#define CKFS_FILL_H

#include "mount.h"

/* Files of more bytes are read. */
#define FILL_MAX (64u << 10)

/* Gives the content of an inode that is being opened, before the answer to that; once, and what does not succeed is read. */
void fill_pages(struct mount *m, uint64_t id, const struct content *content);

#endif
