/* .ckfs, the directory in which the mount tells of itself. */
#ifndef CKFS_CONTROL_H
#define CKFS_CONTROL_H

#include "mount.h"

/* The counters as they are now, for who opens .ckfs/stats. 0, -ENOMEM. */
int control_open(struct mount *m, struct content *ret);

void control_lookup(struct mount *m, fuse_req_t req, const char *name);

/* Attributes of .ckfs/stats. */
void control_getattr(struct mount *m, fuse_req_t req);

#endif
