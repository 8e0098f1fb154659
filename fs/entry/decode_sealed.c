/* Opening seals: those that a frame tells, and those that only a try tells. */
#include "decode_private.h"

#include "ckfs/ck_run.h"

#include <errno.h>
#include <string.h>

/* No ciphertext has as many zeros in a row: it is a hole in a file, or something else that nobody has sealed. */
#define ZEROS ((size_t)4 << 10)

static int stop_at_zeros(const uint8_t *bytes, size_t n)
{
	for (; n >= ZEROS; bytes += ZEROS, n -= ZEROS)
		if (bytes[0] == 0 && memcmp(bytes, bytes + 1, ZEROS - 1) == 0)
			return -EBADMSG;
	return 0;
}

/* One try with one key. 0 and the plaintext; -EBADMSG, -EUCLEAN. */
static int open_seal(const struct decoder *decoder, const struct seal *seal, unsigned number, const struct slice *payload, struct slice *ret)
{
	cleanup_spool struct spool_writer writer = {0};
	cleanup_slice struct slice whole = {0};
	int r = spool_begin(decoder->spool, payload->length, true, &writer);
	if (r == 0)
		r = decode_read_all(decoder, payload, &writer, stop_at_zeros);
	if (r == 0)
		r = seal_open(decoder->keyring, number, seal, spool_bytes(&writer), (size_t)payload->length);
	if (r == 0)
		r = spool_end(&writer, &whole);
	if (r == 0)
		r = slice_sub(&whole, SEAL_NONCE, whole.length - SEAL_OVERHEAD, ret);
	return r;
}

/* The document within an opened payload. */
static int decode_opened(const struct decoder *decoder, const struct frame *frame, const struct slice *plain, struct verdict *verdict,
	struct slice *ret)
{
	struct document document;
	int r = document_locate(frame, plain, true, decoder->cancel, &document);
	if (r < 0)
		return r;
	if (document.fault < 0)
		r = decode_fault(verdict, document.fault, document.reason);
	else
		r = decode_located(decoder, &document, plain, true, verdict, ret);
	document_done(&document);
	return r;
}

/* What a frame would say of a payload that has none: it is what the seal is bound to. */
static struct frame frame_of_seal(const struct seal *seal)
{
	static char none[] = "", msgpack[] = "msgpack";
	return (struct frame){.kind = FRAME_V3, .meta = {.serializer = none, .format = msgpack, .compressed = seal->compressed ? YES : NO, .encrypted = YES}};
}

/* Tries all keys on all that a seal without a frame may be bound to. 0, the plaintext and what it was; -EBADMSG: it is not sealed so. */
static int try_seals(const struct decoder *decoder, const struct sealed *sealed, const struct slice *payload, const struct seal **ret_seal,
	int *ret_key, struct slice *ret)
{
	const unsigned count = payload->length < SEAL_OVERHEAD ? 0 : sealed->seal_count;
	int r = -EBADMSG;
	for (unsigned i = 0; r == -EBADMSG && i < keyring_count(decoder->keyring) * count; i++) {
		*ret_seal = &sealed->seals[i % count];
		*ret_key = (int)(i / count);
		r = open_seal(decoder, *ret_seal, i / count, payload, ret);
	}
	return r;
}

/* What no key opens is plain, if it is a whole document. */
static int decode_plain(const struct decoder *decoder, const struct sealed *sealed, const struct slice *payload, struct verdict *verdict,
	struct slice *ret)
{
	struct document document;
	int r = document_locate(sealed->frame, payload, false, decoder->cancel, &document);
	if (r < 0)
		return r;
	if (document.fault < 0 || document.kind == DOCUMENT_OPAQUE)
		r = decode_fault(verdict, -EBADMSG, "");
	else
		r = decode_located(decoder, &document, payload, false, verdict, ret);
	document_done(&document);
	return r;
}

/* What `ck run` has sealed, and what is made of it. */
struct command {
	const struct decoder *decoder;
	bool failure;
	struct verdict *verdict;
	struct slice *document;
};

static int write_command(void *arg, const uint8_t *bytes, size_t n)
{
	const struct command *command = arg;
	const char *reason = NULL;
	cleanup_spool struct spool_writer writer = {0};
	int r = spool_begin_growing(command->decoder->spool, n, true, &writer);
	if (r == 0)
		r = ck_run_to_msgpack(command->failure, bytes, n, &writer.sink, &reason);
	if (r < 0)
		return r == -EUCLEAN ? decode_fault(command->verdict, r, reason) : r;
	return spool_end(&writer, command->document);
}

static int decode_command(const struct decoder *decoder, const struct seal *seal, const struct slice *plain, struct verdict *verdict,
	struct slice *ret)
{
	cleanup_slice struct slice document = {0};
	struct command command = {decoder, ck_run_is_failure(seal->key, seal->key_length), verdict, &document};
	verdict->envelope = ENVELOPE_NONE;
	int r = decode_with_bytes(decoder, plain, write_command, &command);
	if (r == 0 && verdict->fault == 0)
		r = decode_walk(decoder, &document, SHAPE_ANY, verdict);
	if (r == 0 && verdict->fault == 0)
		*ret = slice_steal(&document);
	return r;
}

static int decode_bare(const struct decoder *decoder, const struct sealed *sealed, const struct slice *payload,
	struct verdict *verdict, struct slice *ret)
{
	cleanup_slice struct slice plain = {0};
	const bool too_large = payload->length > spool_secret_max(decoder->spool);
	const struct seal *seal = NULL;
	int key = -1, r = too_large ? -EBADMSG : try_seals(decoder, sealed, payload, &seal, &key, &plain);
	if (r == 0) {
		const struct frame frame = frame_of_seal(seal);
		verdict->key = key;
		return strcmp(seal->tenant, CK_RUN_TENANT) == 0 ? decode_command(decoder, seal, &plain, verdict, ret)
								: decode_opened(decoder, &frame, &plain, verdict, ret);
	}
	if (r == -EBADMSG)
		r = decode_plain(decoder, sealed, payload, verdict, ret);
	if (r < 0 || verdict->fault == 0)
		return r;
	if (sealed->seal_count == 0)
		return decode_fault(verdict, -ENOKEY, "no document as it stands, and if it is sealed, it opens by its key only, not by its hash");
	if (too_large)
		return decode_fault(verdict, -EFBIG, DECODE_TOO_SECRET);
	return decode_fault(verdict, -EBADMSG, "no key opens it, and it is not a plain document either");
}

static int decode_framed(const struct decoder *decoder, const struct sealed *sealed, const struct slice *payload,
	struct verdict *verdict, struct slice *ret)
{
	cleanup_slice struct slice plain = {0};
	int r = open_seal(decoder, &sealed->seals[0], (unsigned)sealed->key, payload, &plain);
	if (r == -EBADMSG && sealed->fits)
		return decode_fault(verdict, r, "the seal's tag does not match: altered, or stored under another key");
	if (r == -EBADMSG)
		return decode_fault(verdict, -ENOKEY, "sealed: no key has its fingerprint, and the current one does not open it");
	if (r == -EUCLEAN)
		return decode_fault(verdict, r, "the seal is malformed");
	if (r < 0)
		return r;
	verdict->key = sealed->key;
	return decode_opened(decoder, sealed->frame, &plain, verdict, ret);
}

int decode_sealed(const struct decoder *decoder, const struct sealed *sealed, const struct slice *payload,
	struct verdict *ret_verdict, struct slice *ret_body)
{
	struct verdict verdict = {.key = -1};
	struct slice body = {0};
	int r = sealed->key < 0 ? decode_bare(decoder, sealed, payload, &verdict, &body)
				: decode_framed(decoder, sealed, payload, &verdict, &body);
	if (r < 0)
		return r;
	*ret_verdict = verdict;
	*ret_body = body;
	return 0;
}
