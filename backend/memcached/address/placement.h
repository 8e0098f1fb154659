/*
 * Which server has a key, as pymemcache's HashClient decides for the SDK: by rendezvous. Of each server and key MurmurHash3 (x86, 32 bits, seed 0)
 * of "{name}-{key}" is the score; the highest one wins, and of equal ones the larger name.
 */
#ifndef CKFS_MEMCACHED_PLACEMENT_H
#define CKFS_MEMCACHED_PLACEMENT_H

#include "source.h"

#include <stdint.h>

/* The longest key that a server takes, in bytes. */
#define MEMCACHED_KEY_MAX 250

uint32_t murmur3_32(const void *bytes, size_t n);

/* The number of the server that has a key, of at most MEMCACHED_KEY_MAX bytes. */
size_t placement_of(const struct mc_source *source, const char *key, size_t n);

#endif
