/* The kernel's read-ahead of the mount. */
#ifndef CKFS_READAHEAD_H
#define CKFS_READAHEAD_H

#include "mount.h"

#include "ckfs/view.h"

#include <stdbool.h>

#define READAHEAD_PATH_SIZE 64

/* The file that tells it. False: nothing is mounted. */
bool readahead_path(const struct mount *m, char ret[static READAHEAD_PATH_SIZE]);

/*
 * Sets the read-ahead that the file of a view gets, where that is allowed (it takes root). To be called right before its OPEN is answered: a file
 * takes over what its mount has then. What two opens at the same time get is that of either.
 */
void readahead_tune(struct mount *m, const struct view *view, uint64_t size);

#endif
