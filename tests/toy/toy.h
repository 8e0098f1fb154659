/* A store that exists for tests alone: how little a backend over a network has to be. */
#ifndef CKFS_TOY_H
#define CKFS_TOY_H

#include "ckfs/backend.h"

extern const struct backend_ops toy_backend;

/* The same, which nobody can list. */
extern const struct backend_ops toy_unlisted_backend;

#endif
