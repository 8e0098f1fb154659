/* The modes of layer-probe for backend/memcached/address. */
#ifndef CKFS_PROBE_SERVERS_H
#define CKFS_PROBE_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a source says, and where keys are, printed as JSON but for its last brace. The source is the first line, as memcached:// has it behind the "//" or,
 * `is_list`, as CACHEKIT_MEMCACHED_SERVERS has it; each further line is a key. 0, -EINVAL.
 */
int probe_servers(const uint8_t *bytes, size_t n, bool is_list);

#endif
