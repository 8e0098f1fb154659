#include "ckfs/prefix.h"

#include "ckfs/cleanup.h"
#include "ckfs/json_scan.h"
#include "ckfs/pieces.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define MAGIC_MAX 16

/* An orjson payload under this is no checksummed one: 8 bytes and the shortest container. */
#define CHECKED_JSON_MIN (PREFIX_SIZE + 2)

static void hash_free(XXH3_state_t **state)
{
	XXH3_freeState(*state);
}

/* A new hash in its own memory (it is aligned). NULL: no memory. */
static XXH3_state_t *hash_new(void)
{
	XXH3_state_t *state = XXH3_createState();
	if (state)
		XXH3_64bits_reset(state);
	return state;
}

static bool hash_is(XXH3_state_t *state, const uint8_t prefix[static PREFIX_SIZE])
{
	XXH64_canonical_t canonical;
	XXH64_canonicalFromHash(&canonical, XXH3_64bits_digest(state));
	return memcmp(canonical.digest, prefix, PREFIX_SIZE) == 0;
}

int prefix_locate(const struct slice *payload, const void *magic, size_t n, enum prefix *ret)
{
	uint8_t head[PREFIX_SIZE + MAGIC_MAX];
	if (n > MAGIC_MAX)
		return -EINVAL;
	size_t have = payload->length < PREFIX_SIZE + n ? (size_t)payload->length : PREFIX_SIZE + n;
	int r = slice_read(payload, 0, head, have);
	if (r < 0)
		return r;
	if (have >= n && memcmp(head, magic, n) == 0)
		*ret = PREFIX_ABSENT;
	else if (have == PREFIX_SIZE + n && memcmp(head + PREFIX_SIZE, magic, n) == 0)
		*ret = PREFIX_PRESENT;
	else
		return -EUCLEAN;
	return 0;
}

static int hash_piece(void *arg, const uint8_t *bytes, size_t n)
{
	XXH3_64bits_update(arg, bytes, n);
	return 0;
}

int prefix_check(const struct slice *payload, const atomic_bool *cancel)
{
	uint8_t prefix[PREFIX_SIZE];
	if (payload->length < PREFIX_SIZE)
		return -EUCLEAN;
	int r = slice_read(payload, 0, prefix, sizeof prefix);
	if (r < 0)
		return r;
	cleanup_with(hash_free) XXH3_state_t *hash = hash_new();
	if (!hash)
		return -ENOMEM;
	r = pieces_read(payload, PREFIX_SIZE, cancel, hash_piece, hash);
	if (r < 0)
		return r;
	return hash_is(hash, prefix) ? 0 : -EBADMSG;
}

/* The payload as JSON from its start and from behind the prefix, and the hash of the latter. */
struct json_read {
	XXH3_state_t *hash;
	struct json_scan bare, checked;
	uint64_t at;
	uint8_t prefix[PREFIX_SIZE];
};

static int json_piece(void *arg, const uint8_t *bytes, size_t n)
{
	struct json_read *read = arg;
	size_t skip = 0;
	if (read->at < PREFIX_SIZE) {
		skip = n < PREFIX_SIZE - read->at ? n : (size_t)(PREFIX_SIZE - read->at);
		memcpy(read->prefix + read->at, bytes, skip);
	}
	read->at += n;
	XXH3_64bits_update(read->hash, bytes + skip, n - skip);
	/* A scan that failed costs nothing more: of the two, one nearly always ends at once. */
	(void)json_scan_feed(&read->bare, bytes, n);
	(void)json_scan_feed(&read->checked, bytes + skip, n - skip);
	return 0;
}

int prefix_read_json(const struct slice *payload, const atomic_bool *cancel, enum prefix *ret)
{
	cleanup_with(hash_free) XXH3_state_t *hash = hash_new();
	if (!hash)
		return -ENOMEM;
	struct json_read read = {.hash = hash};
	json_scan_init(&read.bare, JSON_ORJSON, NULL, NULL);
	json_scan_init(&read.checked, JSON_ORJSON, NULL, NULL);
	int r = pieces_read(payload, 0, cancel, json_piece, &read);
	if (r < 0)
		return r;
	if (payload->length >= PREFIX_SIZE && hash_is(hash, read.prefix)) {
		if (json_scan_end(&read.checked) != 0)
			return -EUCLEAN;
		*ret = PREFIX_PRESENT;
		return 0;
	}
	if (json_scan_end(&read.bare) != 0)
		return payload->length < CHECKED_JSON_MIN ? -EUCLEAN : -EBADMSG;
	*ret = PREFIX_ABSENT;
	return 0;
}
