#include "receive.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(SPOOL_HEAD <= RECEIVE_SMALL, "a large value has so many");

/* So many bytes of a value are hashed while they are still at hand. */
#define PIECE ((size_t)256 << 10)

static int receive_small(const struct receive *receive, size_t n, XXH128_hash_t *ret_hash, struct slice *ret)
{
	struct storage *storage;
	cleanup_free uint8_t *memory = malloc(n ? n : 1);
	if (!memory)
		return -ENOMEM;
	int r = receive->read(receive->from, memory, n);
	if (r < 0)
		return r;
	if (ret_hash)
		*ret_hash = XXH3_128bits_withSeed(memory, n, receive->seed);
	r = storage_new_memory(memory, &storage);
	if (r < 0)
		return r;
	memory = NULL; /* the storage's */
	slice_new(storage, 0, n, ret);
	storage_unref(storage);
	return 0;
}

static void hash_free(XXH3_state_t **state)
{
	XXH3_freeState(*state);
}

/* The first of the n bytes, which tell where the others are to lie. */
static int receive_first(const struct receive *receive, uint64_t n, struct spool_writer *writer, XXH3_state_t *hash)
{
	uint8_t first[SPOOL_HEAD];
	int r = receive->read(receive->from, first, sizeof first);
	if (r == 0)
		r = spool_begin_value(receive->spool, n, first, sizeof first, writer);
	if (r == 0 && hash)
		XXH3_128bits_update(hash, first, sizeof first);
	return r;
}

/* The others, from `at` on. `hash`: NULL: it is not wanted. */
static int receive_pieces(const struct receive *receive, uint64_t at, uint64_t n, struct sink *to, XXH3_state_t *hash)
{
	while (at < n) {
		size_t piece = n - at < PIECE ? (size_t)(n - at) : PIECE;
		int r = sink_room(to, piece);
		if (r == 0)
			r = receive->read(receive->from, to->p, piece);
		if (r < 0)
			return r;
		if (hash)
			XXH3_128bits_update(hash, to->p, piece);
		to->p += piece;
		at += piece;
	}
	return 0;
}

int receive_value(const struct receive *receive, uint64_t n, XXH128_hash_t *ret_hash, struct slice *ret)
{
	cleanup_spool struct spool_writer writer = {0};
	cleanup_with(hash_free) XXH3_state_t *hash = NULL;
	/* One byte more than is small is what some ask for, to see whether there is more. */
	if (n <= RECEIVE_SMALL + 1)
		return receive_small(receive, (size_t)n, ret_hash, ret);
	if (ret_hash) {
		hash = XXH3_createState();
		if (!hash)
			return -ENOMEM;
		XXH3_128bits_reset_withSeed(hash, receive->seed);
	}
	int r = receive_first(receive, n, &writer, hash);
	if (r == 0)
		r = receive_pieces(receive, SPOOL_HEAD, n, &writer.sink, hash);
	if (r == 0)
		r = spool_end(&writer, ret);
	if (r == 0 && hash)
		*ret_hash = XXH3_128bits_digest(hash);
	return r;
}
