/*
 * An entry header is taken only when each of its 14 bytes is as the SDK wants it, and the expiry is read right.
 *
 * Input: the beginning of a cache file.
 */
#include "backend/file/entry_header.h"
#include "fuzz.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t start[] = {'C', 'K', 1, 0, 0, 0};
	int64_t expires = -1;
	uint8_t *copy = calloc(1, size ? size : 1);
	CHECK(copy);
	if (size)
		memcpy(copy, data, size);
	int r = entry_header_read(copy, size, &expires);
	bool good = size >= ENTRY_HEADER_SIZE && memcmp(data, start, sizeof start) == 0;
	CHECK(r == (good ? 0 : -ENOENT));
	CHECK(good || expires == -1);
	uint64_t value = 0;
	for (size_t i = 6; good && i < ENTRY_HEADER_SIZE; i++)
		value = value << 8 | data[i];
	CHECK(!good || expires == (value > INT64_MAX ? 0 : (int64_t)value));
	free(copy);
	return 0;
}
