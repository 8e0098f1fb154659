/* What the fuzz targets share. */
#ifndef CKFS_FUZZ_H
#define CKFS_FUZZ_H

#include "ckfs/slice.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold, in every build. */
#define CHECK(condition) \
	((condition) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), abort()))

/* A slice of exactly these bytes. Its storage ends with them: what reads on is seen by the sanitizer. */
static inline struct slice fuzz_slice(const uint8_t *data, size_t size)
{
	struct slice slice = {0};
	CHECK(slice_new_copy(data, size, &slice) == 0);
	return slice;
}

/* The same bytes in the middle of a larger storage: what lies around must make no difference. */
static inline struct slice fuzz_slice_inside(const uint8_t *data, size_t size, uint8_t around)
{
	enum { MARGIN = 64 };
	uint8_t *bytes = malloc(size + 2 * MARGIN);
	struct storage *storage = NULL;
	struct slice slice = {0};
	CHECK(bytes);
	for (size_t i = 0; i < size + 2 * MARGIN; i++)
		bytes[i] = i >= MARGIN && i - MARGIN < size ? data[i - MARGIN] : around;
	CHECK(storage_new_memory(bytes, &storage) == 0);
	slice_new(storage, MARGIN, size, &slice);
	storage_unref(storage);
	return slice;
}

#endif
