#include "answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What is decoded at a time. */
#define PIECE ((size_t)64 << 10)

/* A window of zlib's largest size, in the format of gzip or of zlib, whichever it is. */
#define WINDOW_OF_ANY (15 + 32)

bool answer_has_body(long status)
{
	return status >= 200 && status < 300 && status != 206;
}

const char *answer_header(CURL *easy, const char *name)
{
	struct curl_header *header;
	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return "";
	if (header->amount > 1 && curl_easy_header(easy, name, header->amount - 1, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return "";
	return header->value;
}

/* Ends the transfer. */
static int fail(struct answer *a, int r, const char *reason)
{
	a->failure = r;
	a->reason = reason;
	return r;
}

/* --- values --- */

static int read_coding(struct answer *a)
{
	const char *coding = answer_header(a->easy, "Content-Encoding");
	if (!*coding || strcasecmp(coding, "identity") == 0)
		return 0;
	if (strcasecmp(coding, "gzip") != 0 && strcasecmp(coding, "x-gzip") != 0 && strcasecmp(coding, "deflate") != 0)
		return fail(a, -EIO, "its value is encoded in a way that nobody has asked for");
	if (inflateInit2(&a->z, WINDOW_OF_ANY) != Z_OK)
		return fail(a, -ENOMEM, NULL);
	a->coding = CODING_ZLIB;
	a->inflating = true;
	return 0;
}

/*
 * Whether the headers say where the value ends: by its length, or chunk by chunk. Else nobody could tell a cut one from a whole one. Any coding of the
 * transfer but chunks alone is one that nobody has asked for.
 */
static bool has_end(const struct answer *a, curl_off_t length)
{
	struct curl_header *header;
	if (curl_easy_header(a->easy, "Transfer-Encoding", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return length >= 0 || a->status == 204;
	return header->amount == 1 && strcasecmp(header->value, "chunked") == 0;
}

/* The value begins: what the headers say of it. */
static int begin_value(struct answer *a)
{
	curl_off_t length = -1;
	int r = read_coding(a);
	if (r < 0)
		return r;
	curl_easy_getinfo(a->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (!has_end(a, length))
		return fail(a, -EIO, "it does not say where its value ends");
	if (length > (curl_off_t)VALUE_MAX)
		return fail(a, -EFBIG, "its value is larger than 25 MiB");
	r = a->coding == CODING_NONE && length >= 0 ? spool_begin(a->spool, (uint64_t)length, false, &a->writer)
						    : spool_begin_growing(a->spool, PIECE, false, &a->writer);
	if (r < 0)
		return fail(a, r, NULL);
	crypto_generichash_init(&a->hash, NULL, 0, sizeof a->version.id);
	a->begun = true;
	return 0;
}

/* Room for n more bytes of the value. */
static int make_room(struct answer *a, size_t n)
{
	if (n > VALUE_MAX - a->length)
		return fail(a, -EFBIG, "its value is larger than 25 MiB");
	int r = sink_room(&a->writer.sink, n);
	return r < 0 ? fail(a, r, NULL) : 0;
}

/* n bytes were put where there was room. */
static void note_made(struct answer *a, size_t n)
{
	crypto_generichash_update(&a->hash, a->writer.sink.p, n);
	a->writer.sink.p += n;
	a->length += n;
}

static int take_plain(struct answer *a, const uint8_t *bytes, size_t n)
{
	int r = make_room(a, n);
	if (r < 0)
		return r;
	memcpy(a->writer.sink.p, bytes, n);
	note_made(a, n);
	return 0;
}

/* What zlib makes of what it was given, once. 0, -errno. */
static int inflate_piece(struct answer *a)
{
	const size_t left = (size_t)(VALUE_MAX - a->length), room = left < PIECE ? left : PIECE;
	uint8_t over; /* one byte more than there may be: it is well if the stream ends instead */
	int r = make_room(a, room);
	if (r < 0)
		return r;
	a->z.next_out = room ? a->writer.sink.p : &over;
	a->z.avail_out = room ? (uInt)room : 1;
	int z = inflate(&a->z, Z_NO_FLUSH);
	if (room)
		note_made(a, room - a->z.avail_out);
	else if (a->z.avail_out == 0)
		return fail(a, -EFBIG, "its value is larger than 25 MiB");
	if (z == Z_STREAM_END)
		a->inflated = true;
	else if (z != Z_OK && z != Z_BUF_ERROR)
		return fail(a, z == Z_MEM_ERROR ? -ENOMEM : -EIO, "its value cannot be decompressed");
	return 0;
}

static int take_inflated(struct answer *a, const uint8_t *bytes, size_t n)
{
	int r = 0;
	a->z.next_in = (z_const Bytef *)(uintptr_t)bytes;
	a->z.avail_in = (uInt)n;
	do {
		/* gzip goes on with another member. */
		if (a->inflated && inflateReset(&a->z) != Z_OK)
			return fail(a, -EIO, "its value cannot be decompressed");
		a->inflated = false;
		r = inflate_piece(a);
	} while (r == 0 && (a->z.avail_in > 0 || (a->z.avail_out == 0 && !a->inflated)));
	return r;
}

static int take_value(struct answer *a, const uint8_t *bytes, size_t n)
{
	int r = a->begun ? 0 : begin_value(a);
	if (r < 0 || n == 0)
		return r;
	return a->coding == CODING_ZLIB ? take_inflated(a, bytes, n) : take_plain(a, bytes, n);
}

/* --- texts --- */

static int take_text(struct answer *a, const uint8_t *bytes, size_t n)
{
	if (n > TEXT_MAX - a->length)
		return fail(a, -EIO, "its answer is too long");
	memcpy(a->text + a->length, bytes, n);
	a->length += n;
	return 0;
}

/* --- what nobody wants --- */

bool answer_is_enough(const struct answer *a)
{
	return a->dropped > DROPPED_MAX;
}

static int drop(struct answer *a, size_t n)
{
	a->dropped += n;
	return answer_is_enough(a) ? -EIO : 0;
}

/* --- the transfer --- */

static bool is_value(const struct answer *a)
{
	return a->spool && answer_has_body(a->status);
}

static bool is_text(const struct answer *a)
{
	return a->wants_text && answer_has_body(a->status);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	(void)size;
	curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &a->status);
	int r = is_value(a) ? take_value(a, (const uint8_t *)bytes, n) : is_text(a) ? take_text(a, (const uint8_t *)bytes, n) : drop(a, n);
	return r < 0 ? CURL_WRITEFUNC_ERROR : n;
}

void answer_begin(struct answer *answer, CURL *easy, struct spool *spool, bool wants_text)
{
	answer->easy = easy;
	answer->spool = spool;
	answer->wants_text = wants_text;
	answer->status = 0;
	answer->stale = answer->begun = answer->inflating = answer->inflated = false;
	answer->coding = CODING_NONE;
	answer->z = (z_stream){.next_in = NULL};
	answer->writer = (struct spool_writer){.spool = NULL};
	answer->value = (struct slice){0};
	answer->length = answer->dropped = 0;
	answer->failure = 0;
	answer->reason = NULL;
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
}

/* A value that is empty had no body to begin it. */
static int end_value(struct answer *a)
{
	const char *freshness = answer_header(a->easy, "X-CacheKit-Freshness");
	int r = take_value(a, NULL, 0);
	if (r < 0)
		return r;
	if (a->coding == CODING_ZLIB && !a->inflated)
		return fail(a, -EIO, "its value ends too early");
	/* What is not known to be fresh is not, for the SDK too. */
	a->stale = *freshness && strcmp(freshness, "fresh") != 0;
	crypto_generichash_final(&a->hash, a->version.id, sizeof a->version.id);
	r = spool_end(&a->writer, &a->value);
	if (r < 0)
		return fail(a, r, NULL);
	a->writer = (struct spool_writer){.spool = NULL};
	return 0;
}

int answer_end(struct answer *answer, const char **ret_reason)
{
	curl_easy_getinfo(answer->easy, CURLINFO_RESPONSE_CODE, &answer->status);
	snprintf(answer->retry_after, sizeof answer->retry_after, "%s", answer_header(answer->easy, "Retry-After"));
	int r = is_value(answer) ? end_value(answer) : 0;
	*ret_reason = answer->reason;
	return r;
}

void answer_done(struct answer *answer)
{
	if (answer->inflating)
		inflateEnd(&answer->z);
	answer->inflating = false;
	spool_abort(&answer->writer);
	answer->writer = (struct spool_writer){.spool = NULL};
	slice_done(&answer->value);
}
