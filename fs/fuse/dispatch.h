/* From libfuse's calls to the operations of a mount (operations.h). */
#ifndef CKFS_FUSE_DISPATCH_H
#define CKFS_FUSE_DISPATCH_H

#include "mount.h"

#include <stdbool.h>

/* What libfuse calls, but for `init`, which is the session's. Its userdata is the mount. */
const struct fuse_lowlevel_ops *dispatch_operations(bool write);

#endif
