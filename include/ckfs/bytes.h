/*
 * Bounded reads from untrusted bytes.
 *
 * A `struct bytes` is a window that is still to be read. Each reader checks the
 * length first; a failed read moves nothing and writes nothing. All stored bytes
 * that are looked at in memory go through here.
 */
#ifndef CKFS_BYTES_H
#define CKFS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *p;
	size_t left;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
	return (struct bytes){.p = p, .left = n};
}

/* The next n bytes, without a copy. */
static inline bool bytes_take(struct bytes *b, size_t n, const uint8_t **ret)
{
	if (b->left < n)
		return false;
	*ret = b->p;
	b->p += n;
	b->left -= n;
	return true;
}

/* Moves past `expect` when it comes next. */
static inline bool bytes_match(struct bytes *b, const void *expect, size_t n)
{
	if (b->left < n || memcmp(b->p, expect, n) != 0)
		return false;
	b->p += n;
	b->left -= n;
	return true;
}

static inline bool bytes_u8(struct bytes *b, uint8_t *ret)
{
	const uint8_t *p;
	if (!bytes_take(b, 1, &p))
		return false;
	*ret = p[0];
	return true;
}

static inline bool bytes_u16be(struct bytes *b, uint16_t *ret)
{
	const uint8_t *p;
	if (!bytes_take(b, 2, &p))
		return false;
	*ret = (uint16_t)(p[0] << 8 | p[1]);
	return true;
}

static inline bool bytes_u16le(struct bytes *b, uint16_t *ret)
{
	const uint8_t *p;
	if (!bytes_take(b, 2, &p))
		return false;
	*ret = (uint16_t)(p[1] << 8 | p[0]);
	return true;
}

static inline bool bytes_u32be(struct bytes *b, uint32_t *ret)
{
	const uint8_t *p;
	if (!bytes_take(b, 4, &p))
		return false;
	*ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	return true;
}

static inline bool bytes_u32le(struct bytes *b, uint32_t *ret)
{
	const uint8_t *p;
	if (!bytes_take(b, 4, &p))
		return false;
	*ret = (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
	return true;
}

static inline bool bytes_u64be(struct bytes *b, uint64_t *ret)
{
	struct bytes copy = *b;
	uint32_t high, low;
	if (!bytes_u32be(&copy, &high) || !bytes_u32be(&copy, &low))
		return false;
	*ret = (uint64_t)high << 32 | low;
	*b = copy;
	return true;
}

#endif
