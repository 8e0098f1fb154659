/* Reading files that a user names, which may be pipes. */
#ifndef CKFS_READ_H
#define CKFS_READ_H

#include <sys/types.h>

/*
 * Bytes that were read; 0: the end; -1 and errno. Waits for a pipe, also for the first who writes to it, and also where it does not wait itself
 * (O_NONBLOCK): whoever made it chose that for both ends.
 */
ssize_t read_patiently(int fd, void *to, size_t n);

#endif
