#include "blake3.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define BLOCK 64
#define ROUNDS 7

/* What a block is: the first or last of a chunk, the last of all. */
enum { CHUNK_START = 1, CHUNK_END = 2, ROOT = 8 };

static const uint32_t start[8] = {
	0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
};

/* How the words of a block change their places after each round. */
static const uint8_t permutation[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};

static uint32_t rotated(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static void mix(uint32_t v[16], unsigned a, unsigned b, unsigned c, unsigned d, uint32_t x, uint32_t y)
{
	v[a] += v[b] + x;
	v[d] = rotated(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotated(v[b] ^ v[c], 12);
	v[a] += v[b] + y;
	v[d] = rotated(v[d] ^ v[a], 8);
	v[c] += v[d];
	v[b] = rotated(v[b] ^ v[c], 7);
}

static void permute(uint32_t m[16])
{
	uint32_t before[16];
	memcpy(before, m, sizeof before);
	for (unsigned i = 0; i < 16; i++)
		m[i] = before[permutation[i]];
}

static void compress(uint32_t chain[8], const uint8_t block[BLOCK], uint32_t length, uint32_t flags)
{
	uint32_t m[16], v[16];
	for (unsigned i = 0; i < 16; i++)
		m[i] = (uint32_t)block[4 * i] | (uint32_t)block[4 * i + 1] << 8 | (uint32_t)block[4 * i + 2] << 16 | (uint32_t)block[4 * i + 3] << 24;
	memcpy(v, chain, 8 * sizeof *v);
	memcpy(v + 8, start, 4 * sizeof *v);
	/* The number of the chunk, which is the first. */
	v[12] = v[13] = 0;
	v[14] = length;
	v[15] = flags;
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < 4; i++)
			mix(v, i, 4 + i, 8 + i, 12 + i, m[2 * i], m[2 * i + 1]);
		for (unsigned i = 0; i < 4; i++)
			mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[8 + 2 * i], m[9 + 2 * i]);
		permute(m);
	}
	for (unsigned i = 0; i < 8; i++)
		chain[i] = v[i] ^ v[i + 8];
}

void blake3_short(const void *bytes, size_t n, uint8_t ret[static BLAKE3_SIZE])
{
	uint32_t chain[8];
	uint32_t flags = CHUNK_START;
	assert(n <= BLAKE3_SHORT_MAX);
	memcpy(chain, start, sizeof chain);
	for (size_t at = 0;; at += BLOCK, flags = 0) {
		uint8_t block[BLOCK] = {0};
		const size_t left = n - at, here = left < BLOCK ? left : BLOCK;
		const bool last = left <= BLOCK;
		memcpy(block, (const uint8_t *)bytes + at, here);
		compress(chain, block, (uint32_t)here, flags | (last ? CHUNK_END | ROOT : 0));
		if (last)
			break;
	}
	for (unsigned i = 0; i < BLAKE3_SIZE; i++)
		ret[i] = (uint8_t)(chain[i / 4] >> 8 * (i % 4));
}
