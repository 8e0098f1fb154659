/* What stat shows. */
#ifndef CKFS_FUSE_ATTR_H
#define CKFS_FUSE_ATTR_H

#include "mount.h"

#include <sys/stat.h>

void attr_of_directory(const struct mount *m, uint64_t id, struct stat *ret);
void attr_of_inode(const struct mount *m, const struct inode *inode, struct stat *ret);
void attr_of_file(const struct mount *m, uint64_t number, uint64_t size, const struct timespec *written, struct stat *ret);

#endif
