/*
 * The head of a MessagePack value: its first byte, a big-endian number of 0, 1, 2, 4 or 8 bytes, for ext its type.
 *
 * Of numbers, nil and booleans the head is all; str, bin and ext have `value` bytes behind it, an array has `value` elements, a
 * map `value` pairs. Private to fs/layer.
 */
#ifndef CKFS_MSGPACK_HEAD_H
#define CKFS_MSGPACK_HEAD_H

#include "ckfs/bytes.h"

#define MSGPACK_HEAD_MAX 9

enum msgpack_kind {
	MSGPACK_RESERVED, /* c1 begins nothing */
	MSGPACK_NIL,
	MSGPACK_BOOL,
	MSGPACK_UINT,
	MSGPACK_INT, /* in a signed encoding, negative or not */
	MSGPACK_FLOAT,
	MSGPACK_STR,
	MSGPACK_BIN,
	MSGPACK_EXT,
	MSGPACK_ARRAY,
	MSGPACK_MAP,
};

struct msgpack_head {
	enum msgpack_kind kind;
	unsigned size;  /* bytes of the head */
	uint64_t value; /* a length, a count, the number itself (INT: as two's complement; FLOAT: its bits), true */
};

struct msgpack_mark {
	uint8_t kind;   /* enum msgpack_kind */
	uint8_t number; /* bytes of the number */
	uint8_t mask;   /* of the first byte's bits that are the number when there are no bytes for it */
};

static const struct msgpack_mark msgpack_marks[256] = {
	[0x00 ... 0x7f] = {MSGPACK_UINT, 0, 0x7f},
	[0x80 ... 0x8f] = {MSGPACK_MAP, 0, 0x0f},
	[0x90 ... 0x9f] = {MSGPACK_ARRAY, 0, 0x0f},
	[0xa0 ... 0xbf] = {MSGPACK_STR, 0, 0x1f},
	[0xc0] = {MSGPACK_NIL, 0, 0},
	[0xc1] = {MSGPACK_RESERVED, 0, 0},
	[0xc2 ... 0xc3] = {MSGPACK_BOOL, 0, 1},
	[0xc4] = {MSGPACK_BIN, 1, 0},
	[0xc5] = {MSGPACK_BIN, 2, 0},
	[0xc6] = {MSGPACK_BIN, 4, 0},
	[0xc7] = {MSGPACK_EXT, 1, 0},
	[0xc8] = {MSGPACK_EXT, 2, 0},
	[0xc9] = {MSGPACK_EXT, 4, 0},
	[0xca] = {MSGPACK_FLOAT, 4, 0},
	[0xcb] = {MSGPACK_FLOAT, 8, 0},
	[0xcc] = {MSGPACK_UINT, 1, 0},
	[0xcd] = {MSGPACK_UINT, 2, 0},
	[0xce] = {MSGPACK_UINT, 4, 0},
	[0xcf] = {MSGPACK_UINT, 8, 0},
	[0xd0] = {MSGPACK_INT, 1, 0},
	[0xd1] = {MSGPACK_INT, 2, 0},
	[0xd2] = {MSGPACK_INT, 4, 0},
	[0xd3] = {MSGPACK_INT, 8, 0},
	[0xd4 ... 0xd8] = {MSGPACK_EXT, 0, 0},
	[0xd9] = {MSGPACK_STR, 1, 0},
	[0xda] = {MSGPACK_STR, 2, 0},
	[0xdb] = {MSGPACK_STR, 4, 0},
	[0xdc] = {MSGPACK_ARRAY, 2, 0},
	[0xdd] = {MSGPACK_ARRAY, 4, 0},
	[0xde] = {MSGPACK_MAP, 2, 0},
	[0xdf] = {MSGPACK_MAP, 4, 0},
	[0xe0 ... 0xff] = {MSGPACK_INT, 0, 0xff},
};

/* The number behind the first byte, or what the first byte itself says. */
static inline bool msgpack_number(struct bytes *b, uint8_t first, const struct msgpack_mark *mark, uint64_t *ret)
{
	const uint8_t *p;
	uint64_t value = 0;
	if (!bytes_take(b, mark->number, &p))
		return false;
	if (mark->number == 0)
		value = mark->kind == MSGPACK_EXT ? UINT64_C(1) << (first - 0xd4) : first & mark->mask;
	for (unsigned i = 0; i < mark->number; i++)
		value = value << 8 | p[i];
	if (mark->kind == MSGPACK_INT) {
		unsigned unused = 64 - 8 * (mark->number ? mark->number : 1u);
		value = (uint64_t)((int64_t)(value << unused) >> unused);
	}
	*ret = value;
	return true;
}

/* Moves past a head. False when the bytes end within it. */
static inline bool msgpack_head_read(struct bytes *b, struct msgpack_head *ret)
{
	struct bytes rest = *b;
	uint8_t first, type;
	uint64_t value;
	if (!bytes_u8(&rest, &first))
		return false;
	const struct msgpack_mark *mark = &msgpack_marks[first];
	if (!msgpack_number(&rest, first, mark, &value) || (mark->kind == MSGPACK_EXT && !bytes_u8(&rest, &type)))
		return false;
	*ret = (struct msgpack_head){.kind = mark->kind, .size = (unsigned)(b->left - rest.left), .value = value};
	*b = rest;
	return true;
}

#endif
