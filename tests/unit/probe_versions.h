/* The mode of layer-probe for backend/redis/value/version_rules.h. */
#ifndef CKFS_PROBE_VERSIONS_H
#define CKFS_PROBE_VERSIONS_H

#include <stddef.h>
#include <stdint.h>

/*
 * What the rules say to one request, printed as JSON but for its last brace: words "name=value" in any order. `ask` is one of choose, name,
 * fetched, takes, current and head; the others are fields of struct sighting or, with "known." before it, of struct known_version, as numbers; what
 * is not given is 0. "known=1": there is a record. Versions and the bytes of `head` (first, last) are in hex. 0, -EINVAL.
 */
int probe_versions(const uint8_t *bytes, size_t n);

#endif
