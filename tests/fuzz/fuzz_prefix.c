/*
 * A prefix is told by its hash or by the magic behind it, and nothing else passes for one.
 *
 * For any document: with its right prefix it checks, with one bit of it changed it does
 * not; as an orjson payload it is read as JSON with and without, and refused alike.
 *
 * Input: one byte that chooses the bit, then a payload.
 */
#include "ckfs/bytes.h"
#include "ckfs/json_scan.h"
#include "ckfs/prefix.h"
#include "fuzz.h"

#include <errno.h>
#include <xxhash.h>

static bool is_json(const uint8_t *text, size_t n)
{
	struct json_scan scan;
	json_scan_init(&scan, JSON_ORJSON, NULL, NULL);
	return json_scan_feed(&scan, text, n) == 0 && json_scan_end(&scan) == 0;
}

static bool has_prefix(const uint8_t *payload, size_t n)
{
	XXH64_canonical_t hash;
	if (n < PREFIX_SIZE)
		return false;
	XXH64_canonicalFromHash(&hash, XXH3_64bits(payload + PREFIX_SIZE, n - PREFIX_SIZE));
	return memcmp(hash.digest, payload, PREFIX_SIZE) == 0;
}

static void check_magic(const struct slice *slice, const uint8_t *payload, size_t n, const char *magic)
{
	size_t m = strlen(magic);
	enum prefix prefix = (enum prefix)77;
	int r = prefix_locate(slice, magic, m, &prefix);
	if (n >= m && memcmp(payload, magic, m) == 0)
		CHECK(r == 0 && prefix == PREFIX_ABSENT);
	else if (n >= PREFIX_SIZE + m && memcmp(payload + PREFIX_SIZE, magic, m) == 0)
		CHECK(r == 0 && prefix == PREFIX_PRESENT);
	else
		CHECK(r == -EUCLEAN && prefix == (enum prefix)77);
}

/* Every reader on one payload, against what they say in one line each. */
static void check_payload(const uint8_t *payload, size_t n)
{
	struct slice slice = fuzz_slice_inside(payload, n, '1');
	atomic_bool cancel = true;
	enum prefix prefix = (enum prefix)77;
	bool hashed = has_prefix(payload, n);
	check_magic(&slice, payload, n, "ARROW1");
	check_magic(&slice, payload, n, "NUMPY_RAW");
	CHECK(prefix_check(&slice, NULL) == (hashed ? 0 : n < PREFIX_SIZE ? -EUCLEAN : -EBADMSG));
	if (n > PREFIX_SIZE)
		CHECK(prefix_check(&slice, &cancel) == -EINTR);
	int r = prefix_read_json(&slice, NULL, &prefix);
	if (hashed)
		CHECK(is_json(payload + PREFIX_SIZE, n - PREFIX_SIZE) ? r == 0 && prefix == PREFIX_PRESENT : r == -EUCLEAN);
	else
		CHECK(is_json(payload, n) ? r == 0 && prefix == PREFIX_ABSENT : r == (n < 10 ? -EUCLEAN : -EBADMSG));
	CHECK(r == 0 || prefix == (enum prefix)77);
	slice_done(&slice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_of(data, size);
	uint8_t choice;
	if (!bytes_u8(&b, &choice))
		return 0;
	check_payload(b.p, b.left);

	size_t n = PREFIX_SIZE + b.left;
	uint8_t *prefixed = malloc(n);
	XXH64_canonical_t hash;
	CHECK(prefixed);
	XXH64_canonicalFromHash(&hash, XXH3_64bits(b.p, b.left));
	memcpy(prefixed, hash.digest, PREFIX_SIZE);
	memcpy(prefixed + PREFIX_SIZE, b.p, b.left);
	CHECK(has_prefix(prefixed, n));
	check_payload(prefixed, n);
	prefixed[choice % n] ^= (uint8_t)(1u << choice % 8);
	CHECK(!has_prefix(prefixed, n));
	check_payload(prefixed, n);
	free(prefixed);
	return 0;
}
