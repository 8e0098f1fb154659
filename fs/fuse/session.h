/* A mount from its beginning to its end. */
#ifndef CKFS_FUSE_SESSION_H
#define CKFS_FUSE_SESSION_H

#include "mount.h"

#include "ckfs/error.h"

/* Mounts, and serves until it is unmounted. 0; -errno with the error set, which tells why before it serves. */
int mount_serve(struct mount *m, const char *source, struct error *error);

#endif
