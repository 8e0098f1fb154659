/* What stands before the document of a stored value. */
#ifndef CKFS_HEAD_H
#define CKFS_HEAD_H

#include <stddef.h>
#include <stdint.h>

/*
 * How many of the first n bytes of a value of `size` bytes stand before its document, or before its payload where that is no document as it lies
 * there. 0 where there is no v3 frame, or they do not tell. Nothing but where bytes are put depends on it.
 */
uint64_t value_head(const void *first, size_t n, uint64_t size);

#endif
