/* For output_send.c. */
#ifndef CKFS_CLI_OUTPUT_PRIVATE_H
#define CKFS_CLI_OUTPUT_PRIVATE_H

#include "output.h"

/* Writes bytes as they are. */
void output_write(const void *bytes, size_t n);

/* What comes of a write that failed: it is to be tried again, or the process ends here. */
void output_failed(int error);

#endif
