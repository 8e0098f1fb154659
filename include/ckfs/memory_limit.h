/* How much memory the process may use. */
#ifndef CKFS_MEMORY_LIMIT_H
#define CKFS_MEMORY_LIMIT_H

#include <stdint.h>

/* Bytes: of the machine, of its control group (cgroup 1 and 2) and those above it, or its own limit (ulimit -v, -d), whichever is least. */
uint64_t memory_limit(void);

#endif
