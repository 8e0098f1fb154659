/* Pools of threads, for tests/support/fuse_mounts.py. */
#ifndef CKFS_PROBE_POOL_H
#define CKFS_PROBE_POOL_H

/* Ends pools that are about to grow, on a machine that is busy. */
void probe_pools(void);

#endif
