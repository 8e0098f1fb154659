/*
 * The 14 bytes before the value in a file of the file backend.
 *
 *   "CK" | version 1 | reserved 0 | flags u16 BE 0 | expiry u64 BE, unix seconds, 0 never
 */
#ifndef CKFS_ENTRY_HEADER_H
#define CKFS_ENTRY_HEADER_H

#include <stdint.h>
#include <stddef.h>

#define ENTRY_HEADER_SIZE 14

/*
 * 0 and the expiry (values past what time can say count as never); -ENOENT for anything the SDK
 * reads as a miss: short, another magic or version, reserved or flag bytes set.
 */
int entry_header_read(const void *bytes, size_t n, int64_t *ret_expires);

/* The header of an entry with this expiry. */
void entry_header_write(int64_t expires, uint8_t ret[static ENTRY_HEADER_SIZE]);

#endif
