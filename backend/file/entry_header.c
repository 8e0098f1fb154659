#include "entry_header.h"

#include "ckfs/bytes.h"

#include <errno.h>
#include <string.h>

int entry_header_read(const void *bytes, size_t n, int64_t *ret_expires)
{
	struct bytes b = bytes_of(bytes, n);
	uint8_t version, reserved;
	uint16_t flags;
	uint64_t expires;
	if (!bytes_match(&b, "CK", 2) || !bytes_u8(&b, &version) || !bytes_u8(&b, &reserved) ||
		!bytes_u16be(&b, &flags) || !bytes_u64be(&b, &expires))
		return -ENOENT;
	if (version != 1 || reserved != 0 || flags != 0)
		return -ENOENT;
	*ret_expires = expires > INT64_MAX ? 0 : (int64_t)expires;
	return 0;
}

void entry_header_write(int64_t expires, uint8_t ret[static ENTRY_HEADER_SIZE])
{
	static const uint8_t beginning[] = {'C', 'K', 1, 0, 0, 0};
	memcpy(ret, beginning, sizeof beginning);
	for (size_t i = 0; i < sizeof(uint64_t); i++)
		ret[sizeof beginning + i] = (uint8_t)((uint64_t)expires >> (56 - 8 * i));
}
