/* Descriptors that the kernel reads by itself. It takes CAP_SYS_ADMIN to tell it of them. */
#ifndef CKFS_FUSE_BACKING_H
#define CKFS_FUSE_BACKING_H

#include "order.h"

struct mount;

/* Tells the kernel of a descriptor, by way of the process that has kept its privileges if there is one. Its number (> 0), -errno. */
int backing_open(struct mount *m, int fd);
void backing_close(struct mount *m, int number);

/* What that process does. 0 or more, -errno. */
int backing_obey(const struct order *order);

#endif
