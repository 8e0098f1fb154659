/*
 * Files in the spool directory: without a name, and with all the blocks that may be written, since a full disk must not show as a broken
 * mapping. The rest is a hole: a file that gets longer all the time has its pages made one by one, which takes five times as long.
 */
#ifndef CKFS_SPOOL_FILE_H
#define CKFS_SPOOL_FILE_H

#include <stdint.h>

/* Makes one of `mapped` bytes, mapped, of which the first `size` have their blocks. Errors are those of the system, as they come. */
int spool_file_new(const char *directory, uint64_t size, uint64_t mapped, int *ret_fd, void **ret_memory);

/* Gives it the blocks from one place to another. */
int spool_file_fill(int fd, uint64_t from, uint64_t to);

#endif
