#include "placement.h"

#include <string.h>

/* The longest path of a socket, or host and port. */
#define NAME_BYTES_MAX (HOST_MAX + 8)

static uint32_t rotate(uint32_t x, unsigned bits)
{
	return x << bits | x >> (32 - bits);
}

static uint32_t mix(uint32_t block)
{
	return rotate(block * 0xcc9e2d51u, 15) * 0x1b873593u;
}

uint32_t murmur3_32(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint32_t hash = 0, rest = 0;
	for (size_t i = 0; i + 4 <= n; i += 4) {
		hash ^= mix((uint32_t)p[i] | (uint32_t)p[i + 1] << 8 | (uint32_t)p[i + 2] << 16 | (uint32_t)p[i + 3] << 24);
		hash = rotate(hash, 13) * 5 + 0xe6546b64u;
	}
	for (size_t i = n; i > (n & ~(size_t)3); i--)
		rest = rest << 8 | p[i - 1];
	if (n & 3)
		hash ^= mix(rest);
	hash ^= (uint32_t)n;
	hash = (hash ^ hash >> 16) * 0x85ebca6bu;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
	return hash ^ hash >> 16;
}

static uint32_t score(const char *name, const char *key, size_t n)
{
	char text[NAME_BYTES_MAX + 1 + MEMCACHED_KEY_MAX];
	const size_t length = strnlen(name, NAME_BYTES_MAX);
	memcpy(text, name, length);
	text[length] = '-';
	memcpy(text + length + 1, key, n);
	return murmur3_32(text, length + 1 + n);
}

size_t placement_of(const struct mc_source *source, const char *key, size_t n)
{
	size_t best = 0;
	uint32_t highest = 0;
	if (source->count == 1)
		return 0;
	for (size_t i = 0; i < source->count; i++) {
		const uint32_t own = score(source->nodes[i].name, key, n);
		const bool wins = own > highest || (own == highest && strcmp(source->nodes[i].name, source->nodes[best].name) > 0);
		if (i == 0 || wins) {
			best = i;
			highest = own;
		}
	}
	return best;
}
