/* Parts of replies that hold others. */
#ifndef CKFS_REDIS_NESTED_H
#define CKFS_REDIS_NESTED_H

#include "connection.h"

/* Passes over one whole reply. 0; -EIO it is nested too deep, or longer than what is of no interest can be; errors of the transport. */
int nested_skip(struct redis_connection *connection);

/* Passes over what is left of an array. */
int nested_skip_rest(struct redis_connection *connection, int64_t count);

/*
 * A string of less than `size` bytes, NUL-terminated: what is longer, nil, or has a NUL in it is "", and so is whatever else is no string.
 * 0; -EIO as above; errors of the transport.
 */
int nested_text(struct redis_connection *connection, char *ret, size_t size);

#endif
