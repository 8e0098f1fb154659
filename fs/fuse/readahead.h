/* The kernel's read-ahead of the mount. */
#ifndef CKFS_READAHEAD_H
#define CKFS_READAHEAD_H

#include "mount.h"

/*
 * Raises the read-ahead, once, where that is allowed (it takes root). Before the kernel has
 * handled the answer to INIT it would not last, so this is called with the first open.
 */
void readahead_tune(struct mount *m);

#endif
