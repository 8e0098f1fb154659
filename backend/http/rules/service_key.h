/* Keys of the CacheKit service: which there can be, and how they stand in the path of a request. */
#ifndef CKFS_HTTP_SERVICE_KEY_H
#define CKFS_HTTP_SERVICE_KEY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether the service can hold a key. It takes 1 to 400 of [A-Za-z0-9_.:-] without "..", with a namespace of 1 to 64 of [A-Za-z0-9_-] and something
 * behind it where one begins with "ns:" or "nsapi:"; the SDK never sends those that would be parts of other paths: "." "health" "ttl" "lock".
 */
bool service_can_hold(const char *key, size_t n);

#endif
