/* Files in the spool directory: without a name, and with all their blocks, since a full disk must not show as a broken mapping. */
#ifndef CKFS_SPOOL_FILE_H
#define CKFS_SPOOL_FILE_H

#include <stdint.h>

/* Makes one of `size` bytes, mapped. Errors are those of the system, as they come. */
int spool_file_new(const char *directory, uint64_t size, int *ret_fd, void **ret_memory);

/* Makes it longer. */
int spool_file_grow(int fd, uint64_t size);

#endif
