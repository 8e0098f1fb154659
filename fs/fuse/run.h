/* A mount, from what it was asked for to its end. A build without libfuse has no_fuse.c instead. */
#ifndef CKFS_FUSE_RUN_H
#define CKFS_FUSE_RUN_H

#include "ckfs/error.h"
#include "ckfs/options.h"

/* Opens all that a mount needs, serves it, and closes it again. 0; -errno with the error set. */
int mount_run(struct options *options, int argc, char **argv, struct error *error);

/* What mounts: "libfuse" and its version, or "no libfuse". */
const char *mount_library(void);

#endif
