/*
 * What an envelope holds depends on its bytes alone, and every document that is put into one comes out the same.
 *
 * Also: a quick reading agrees or leaves it to the slow one, what is found lies inside and keeps to the limits, and a
 * failure leaves the result alone and has a reason.
 *
 * Input: a payload, and the same bytes as a document.
 */
#include "ckfs/bytestorage.h"
#include "ckfs/cleanup.h"
#include "fuzz.h"
#include "writers.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

static int read_one(const struct slice *payload, bool quick, struct bytestorage *ret)
{
	const char *reason = NULL;
	struct bytestorage untouched;
	memset(ret, 0xa5, sizeof *ret);
	untouched = *ret;
	int r = bytestorage_read(payload, quick, NULL, ret, &reason);
	CHECK(r == 0 || r == -EUCLEAN || r == -EFBIG || (r == 1 && quick));
	CHECK((r < 0) == (reason != NULL));
	CHECK(r == 0 || memcmp(ret, &untouched, sizeof *ret) == 0);
	return r;
}

static void check_same(const struct bytestorage *a, const struct bytestorage *b)
{
	CHECK(a->integers == b->integers && a->strict == b->strict && a->compressed == b->compressed && a->original == b->original);
	CHECK(a->data_offset == b->data_offset && a->data_length == b->data_length);
	CHECK(memcmp(a->checksum, b->checksum, sizeof a->checksum) == 0 && strcmp(a->format, b->format) == 0);
}

static void check_limits(const struct bytestorage *e, size_t size)
{
	CHECK(e->data_offset <= size && e->data_length <= size - e->data_offset);
	CHECK(e->compressed > 0 && e->compressed <= e->data_length && (e->integers || e->compressed == e->data_length));
	CHECK(e->original <= BYTESTORAGE_MAX && e->original / BYTESTORAGE_RATIO_MAX <= e->compressed);
	CHECK(memchr(e->format, 0, sizeof e->format));
}

/* Memory of exactly the size that it takes. The caller frees it. */
static int decode_one(const struct bytestorage *e, const struct slice *payload, bool verify, uint8_t **ret)
{
	const char *reason = NULL;
	size_t room = bytestorage_room(e);
	*ret = calloc(1, room ? room : 1);
	CHECK(*ret);
	int r = bytestorage_decode(e, payload, verify, NULL, *ret, NULL, &reason);
	if (r == 1) {
		uint8_t *block = malloc(e->compressed);
		struct sink spare = {.p = block, .end = block + e->compressed};
		CHECK(block);
		r = bytestorage_decode(e, payload, verify, NULL, *ret, &spare, &reason);
		free(block);
	}
	CHECK(r == 0 || r == -EUCLEAN || (r == -EBADMSG && verify));
	CHECK((r < 0) == (reason != NULL));
	return r;
}

static bool checksum_is(const struct bytestorage *e, const uint8_t *document)
{
	XXH64_canonical_t canonical;
	XXH64_canonicalFromHash(&canonical, XXH3_64bits(document, e->original));
	return memcmp(canonical.digest, e->checksum, sizeof e->checksum) == 0;
}

/* What is seen of a block before it is decompressed is what comes of it. `r` and `document`: of decompressing it, unverified. */
static void check_measured(const struct bytestorage *e, const struct slice *payload, int r, const uint8_t *document)
{
	struct bytestorage measured = *e;
	const char *reason = NULL;
	uint8_t *again;
	int r_measured = bytestorage_measure(&measured, payload, 0, NULL, &reason);
	CHECK((r_measured == -EUCLEAN) == (reason != NULL));
	if (r_measured == -EUCLEAN) {
		CHECK(r == -EUCLEAN);
		return;
	}
	CHECK(r_measured == 0 && measured.room <= e->original && (r == 0) == (measured.room == e->original));
	CHECK(decode_one(&measured, payload, false, &again) == r);
	CHECK(r < 0 || memcmp(document, again, e->original) == 0);
	free(again);
}

static void check_decoded(const struct bytestorage *e, const struct slice *payload, const struct slice *inside)
{
	uint8_t *plain, *again, *verified;
	atomic_bool cancel = true;
	const char *reason = NULL;
	int r = decode_one(e, payload, false, &plain);
	CHECK(decode_one(e, inside, false, &again) == r);
	int r_verified = decode_one(e, payload, true, &verified);
	if (r == 0) {
		CHECK((r_verified == 0) == checksum_is(e, plain));
		CHECK(memcmp(plain, again, e->original) == 0);
	}
	if (e->original > 0)
		check_measured(e, payload, r, plain);
	/* A block that no writer makes may still be that of the right document. */
	CHECK(r_verified < 0 || checksum_is(e, verified));
	CHECK(bytestorage_decode(e, payload, false, &cancel, again, NULL, &reason) == -EINTR);
	free(verified);
	free(again);
	free(plain);
}

static void check_round_trip(const uint8_t *document, size_t size, enum envelope_form form)
{
	cleanup_with(buf_done) struct buf envelope = {0};
	cleanup_free uint8_t *back = NULL;
	struct bytestorage e;
	write_envelope(&envelope, document, size, form, "msgpack");
	struct slice payload = fuzz_slice((const uint8_t *)envelope.p, envelope.length);
	CHECK(read_one(&payload, false, &e) == 0);
	CHECK(e.strict == (form == FORM_BIN || form == FORM_INTEGERS) && e.integers == (form == FORM_INTEGERS));
	CHECK(e.original == size && strcmp(e.format, "msgpack") == 0);
	CHECK(decode_one(&e, &payload, true, &back) == 0);
	CHECK(size == 0 || memcmp(document, back, size) == 0);
	slice_done(&payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice payload = fuzz_slice(data, size), inside = fuzz_slice_inside(data, size, 0x01);
	struct bytestorage e, other, quick;
	int r = read_one(&payload, false, &e);
	CHECK(read_one(&inside, false, &other) == r);
	int r_quick = read_one(&payload, true, &quick);
	CHECK(r_quick == 1 || r_quick == r);
	if (r == 0) {
		check_same(&e, &other);
		if (r_quick == 0)
			check_same(&e, &quick);
		check_limits(&e, size);
		check_decoded(&e, &payload, &inside);
	}
	for (enum envelope_form form = 0; form < ENVELOPE_FORMS; form++)
		check_round_trip(data, size, form);
	slice_done(&inside);
	slice_done(&payload);
	return 0;
}
