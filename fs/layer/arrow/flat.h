/*
 * Bounded reads of FlatBuffers, in which Arrow writes all that is not data. Everything is little-endian, and places count from the beginning.
 *
 *   beginning  u32 where the root table is
 *   table      i32 how far before it its vtable is; its members
 *   vtable     u16 its own bytes, u16 those of the table, and of each member u16 its place in the table: 0, or past the vtable, is none
 *   offset     u32 how far behind it a table, a string or a vector is
 *   string     u32 bytes, and those
 *   vector     u32 elements, and those
 *
 * What lies outside is not read: it is none, and `bad` is set, so that who has read all looks once. No member is needed: what is not there has a default.
 * A text may name the same place a thousand times, or a table hold itself: whoever follows offsets has a bound of its own.
 */
#ifndef CKFS_FLAT_H
#define CKFS_FLAT_H

#include "ckfs/slice.h"

/* A text in pieces: of what is not in memory the piece around what is asked for is read. */
struct flat {
	const struct slice *slice;
	uint8_t *piece;       /* of the slice */
	size_t room;          /* of it: at least 16, or as much as there is */
	uint64_t at;          /* where it begins */
	size_t n;             /* bytes that it has */
	bool bad;             /* something lay outside, or could not be read */
	int error;            /* why it could not be read: -errno, or 0 */
};

struct flat_table {
	struct flat *flat; /* NULL: there is none, and all members have their defaults */
	uint32_t at, size, vtable, vtable_size;
};

struct flat_vector {
	struct flat *flat;
	uint32_t at, count; /* where the first element is, and how many there are; all lie inside */
	uint32_t width;     /* bytes of an element */
};

struct flat_table flat_root(struct flat *flat);

/* A member of `width` bytes, at most 8. */
int64_t flat_number(const struct flat_table *table, unsigned member, unsigned width, int64_t otherwise);

struct flat_table flat_table(const struct flat_table *table, unsigned member);

/* Without a member, one without elements. */
struct flat_vector flat_vector(const struct flat_table *table, unsigned member, uint32_t width);

/* An element that is a table; of a struct, the number of `width` bytes that is `offset` bytes inside. */
struct flat_table flat_vector_table(const struct flat_vector *vector, uint32_t i);
int64_t flat_vector_number(const struct flat_vector *vector, uint32_t i, uint32_t offset, unsigned width);

/* Text, good until the next read; NULL: there is none, or more than `most` bytes. It must fit a piece. */
const char *flat_text(const struct flat_table *table, unsigned member, uint32_t most, uint32_t *ret_n);

#endif
