/* The mountpoint, before it is mounted on. */
#ifndef CKFS_MOUNTPOINT_H
#define CKFS_MOUNTPOINT_H

#include "ckfs/error.h"
#include "ckfs/options.h"

#include <stdbool.h>
#include <sys/types.h>

/* The topmost mount on a path. */
struct mounted {
	dev_t device;
	bool is_ckfs;
};

/* False when nothing is mounted on exactly this path (absolute, without links). Does not touch the path. */
bool mountpoint_find(const char *path, struct mounted *ret);

/*
 * Makes options->mountpoint absolute and checks it: a directory, not busy with a ckfs that lives (one that is
 * dead is cleared), not the cache directory `source` itself nor above it. 0; -errno with the error set.
 */
int mountpoint_prepare(struct options *options, const char *source, struct error *error);

#endif
