#include "renderings.h"

#include "ckfs/msgpack.h"

#include <errno.h>

/* What is being made of a document whose bytes are in memory. */
struct job {
	const struct decoder *decoder;
	bool secret;
	struct rendered *rendered;
	struct slice *content;
};

static int render_bytes(const struct decoder *decoder, const struct slice *document, const struct verdict *verdict,
	int (*use)(void *arg, const uint8_t *bytes, size_t n), struct rendered *ret, struct slice *ret_content)
{
	struct job job = {.decoder = decoder, .secret = verdict->key >= 0, .rendered = ret, .content = ret_content};
	return decode_with_bytes(decoder, document, use, &job);
}

/* Takes what was written. */
static int finish(const struct job *job, struct spool_writer *writer)
{
	const uint64_t size = spool_length(writer);
	int r = spool_end(writer, job->content);
	if (r == 0)
		*job->rendered = (struct rendered){.size = size};
	return r;
}

/* --- JSON --- */

static bool is_msgpack(const struct document *document, const struct frame *frame)
{
	(void)frame;
	return document->kind == DOCUMENT_MSGPACK;
}

static int write_json(void *arg, const uint8_t *bytes, size_t n)
{
	const struct job *job = arg;
	const char *reason = NULL;
	cleanup_spool struct spool_writer writer = {0};
	int r = spool_begin_growing(job->decoder->spool, n, job->secret, &writer);
	if (r < 0)
		return r;
	r = msgpack_to_json(bytes, n, &writer.sink, job->decoder->cancel, &reason);
	if (r == 0)
		return finish(job, &writer);
	if (r != -EUCLEAN && r != -EFBIG)
		return r;
	*job->rendered = (struct rendered){.fault = r, .reason = reason};
	return 0;
}

static int render_json(const struct decoder *decoder, const struct slice *document, const struct verdict *verdict, struct rendered *ret,
	struct slice *ret_content)
{
	if (verdict->text <= JSON_TEXT_MAX)
		return render_bytes(decoder, document, verdict, write_json, ret, ret_content);
	*ret = (struct rendered){.fault = -EFBIG, .reason = JSON_TOO_LONG};
	return 0;
}

/* --- the columns of a dataframe or a series --- */

/* Of a larger document they are not told: it would have to be copied whole. */
#define COLUMNS_DOCUMENT_MAX BYTESTORAGE_MAX

static int write_columns(void *arg, const uint8_t *bytes, size_t n)
{
	const struct job *job = arg;
	cleanup_buf struct buf buf = {0};
	cleanup_spool struct spool_writer writer = {0};
	int r = n > 0 ? msgpack_describe_columns(bytes, n, job->decoder->cancel, &buf) : 0;
	if (r >= 0)
		r = spool_begin(job->decoder->spool, buf.length, job->secret, &writer);
	if (r == 0)
		r = spool_write(&writer, buf.p, buf.length);
	return r < 0 ? r : finish(job, &writer);
}

static int render_columns(const struct decoder *decoder, const struct slice *document, const struct verdict *verdict, struct rendered *ret,
	struct slice *ret_content)
{
	const struct slice nothing = {0};
	const bool fits = document->length <= COLUMNS_DOCUMENT_MAX;
	return render_bytes(decoder, fits ? document : &nothing, verdict, write_columns, ret, ret_content);
}

/* --- */

const struct renderer renderings[RENDERING_COUNT] = {
	[RENDERING_JSON] = {.applies = is_msgpack, .as_is = DOCUMENT_JSON, .counted = true, .render = render_json},
	[RENDERING_COLUMNS] = {.applies = document_has_columns, .render = render_columns},
};
