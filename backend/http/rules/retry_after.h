/* Retry-After: when a server that has no time wants to be asked again. */
#ifndef CKFS_HTTP_RETRY_AFTER_H
#define CKFS_HTTP_RETRY_AFTER_H

#include <stdint.h>

/* A server that wants a longer wait, in seconds, than this is not waited for anyway. */
#define RETRY_AFTER_MAX INT64_C(1000000000)

/*
 * Reads the value of the header: seconds, or one of the three dates of HTTP. *ret_seconds: from `now` (unix seconds), 0 for what has passed, at most
 * RETRY_AFTER_MAX. 0; -EINVAL it is neither.
 */
int retry_after_read(const char *text, int64_t now, int64_t *ret_seconds);

#endif
