/* What a mount that stands needs of the machine, and no more from then on. */
#ifndef CKFS_FUSE_CONFINE_H
#define CKFS_FUSE_CONFINE_H

#include "mount.h"

/*
 * Starts the unmounter and enters the sandbox, as -o sandbox= says; before there are threads. What the kernel lacks is logged: with -d, and
 * where the sandbox was asked for. 0; -errno with the error set.
 */
int confine(struct mount *m, struct error *error);

#endif
