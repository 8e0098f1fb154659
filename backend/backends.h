/* The backends of this build. */
#ifndef CKFS_BACKENDS_H
#define CKFS_BACKENDS_H

#include "ckfs/backend.h"

extern const struct backend_ops file_backend;
extern const struct backend_ops memcached_backend;
extern const struct backend_ops redis_backend;
extern const struct backend_ops http_backend;

#endif
