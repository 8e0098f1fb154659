/* Buffers that reads go through: a few are kept, so that a read costs no page faults. */
#ifndef CKFS_BUFFERS_H
#define CKFS_BUFFERS_H

#include <stddef.h>

/* One buffer holds the largest request. */
#define BUFFER_SIZE (1u << 20)

/* A buffer of BUFFER_SIZE; NULL without memory. */
void *buffer_get(void);
void buffer_put(void *buffer);

/* Frees those that are kept. */
void buffers_free(void);

#endif
