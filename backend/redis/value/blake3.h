/* BLAKE3 of up to one chunk: names of functions are short, and no library in Debian 12 has it. */
#ifndef CKFS_REDIS_BLAKE3_H
#define CKFS_REDIS_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE3_SIZE 32

/* No input is longer. */
#define BLAKE3_SHORT_MAX 1024

/* The hash of n bytes, at most BLAKE3_SHORT_MAX. */
void blake3_short(const void *bytes, size_t n, uint8_t ret[static BLAKE3_SIZE]);

#endif
