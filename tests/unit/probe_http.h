/* The modes of layer-probe for backend/http/rules. */
#ifndef CKFS_PROBE_HTTP_H
#define CKFS_PROBE_HTTP_H

#include <stddef.h>
#include <stdint.h>

/*
 * What the rules say, printed as JSON but for its last brace.
 *
 *   K  a key                                                  can the service hold it, and how it is written in a path
 *   R  now in decimals, a line feed, a value of Retry-After   seconds
 *   T  JSON                                                   a time to live
 *   U  what follows "https://"                                host, port, base, and what the SDK's rules for hosts say without and with others allowed
 */
int probe_http(uint8_t mode, const uint8_t *bytes, size_t n);

#endif
