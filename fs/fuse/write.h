/* What can be written to. */
#ifndef CKFS_FUSE_WRITE_H
#define CKFS_FUSE_WRITE_H

#include "mount.h"

/* -EROFS: nothing of a view (VIEW_COUNT: of .ckfs) is written. Says in the log, once for each view, what is. */
int refuse_to_write(struct mount *m, unsigned view_id);

#endif
