#include "ckfs/arrow.h"

#include "arrow_type.h"

#include "ckfs/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define MAGIC_SIZE (sizeof ARROW_MAGIC - 1)
#define BEGINNING_SIZE 8
#define END_SIZE (4 + MAGIC_SIZE)

/* A longer footer is not read. */
#define FOOTER_MAX (8u << 20)

/* A longer name is not shown. */
#define NAME_MAX_SIZE 4096u

/* No further column is described once so much has been written. */
#define TEXT_MAX (1u << 20)

/* Where the name of an extension type is looked for. */
#define METADATA_MAX 64
#define EXTENSION_NAME "ARROW:extension:name"

/* What is read of a batch at a time: mostly all that is asked of it is there. */
#define HEAD_PIECE 512

enum { FOOTER_SCHEMA = 1, FOOTER_BATCHES = 3 };
enum { SCHEMA_FIELDS = 1 };
enum { MESSAGE_KIND = 1, MESSAGE_HEADER = 2 };
enum { BATCH_LENGTH = 0, BATCH_COMPRESSION = 3 };
enum { KEY_VALUE_KEY, KEY_VALUE_VALUE };

/* struct Block: i64 where a message is, i32 bytes of its head, i64 those of its body */
enum { BLOCK_OFFSET = 0, BLOCK_HEAD = 8, BLOCK_SIZE = 24 };

#define MESSAGE_IS_BATCH 3

/* --- batches --- */

enum compression { NOT_KNOWN, NOT_COMPRESSED, LZ4, ZSTD, MIXED };

/* What all batches come to. */
struct batches {
	uint64_t rows;
	bool knows_rows;
	bool any;
	enum compression compression;
};

static enum compression compression_of(const struct flat_table *batch)
{
	static const enum compression codecs[] = {LZ4, ZSTD};
	const struct flat_table compression = flat_table(batch, BATCH_COMPRESSION);
	const int64_t codec = flat_number(&compression, 0, 1, 0);
	if (!compression.flat)
		return NOT_COMPRESSED;
	return codec >= 0 && codec < (int64_t)COUNT(codecs) ? codecs[codec] : NOT_KNOWN;
}

static void add_batch(struct batches *batches, int64_t rows, enum compression compression)
{
	if (rows < 0 || __builtin_add_overflow(batches->rows, (uint64_t)rows, &batches->rows))
		batches->knows_rows = false;
	if (!batches->any)
		batches->compression = compression;
	else if (batches->compression != compression)
		batches->compression = MIXED;
	batches->any = true;
}

/* Before its FlatBuffers a message has their length, and since long before that FF FF FF FF. */
static int find_head(const struct slice *file, uint64_t offset, uint32_t n, struct slice *ret)
{
	uint8_t start[4];
	int r = n < sizeof start ? -ERANGE : slice_read(file, offset, start, sizeof start);
	const unsigned prefix = r == 0 && memcmp(start, "\xff\xff\xff\xff", sizeof start) == 0 ? 8 : 4;
	if (r == 0 && n < prefix)
		r = -ERANGE;
	return r < 0 ? r : slice_sub(file, offset + prefix, n - prefix, ret);
}

/* 0, also when the batch makes no sense; -ENODATA, -EIO. */
static int read_batch(const struct slice *file, const struct flat_vector *blocks, uint32_t i, struct batches *batches)
{
	const uint64_t offset = (uint64_t)flat_vector_number(blocks, i, BLOCK_OFFSET, 8);
	const uint32_t n = (uint32_t)flat_vector_number(blocks, i, BLOCK_HEAD, 4);
	uint8_t piece[HEAD_PIECE];
	cleanup_slice struct slice head = {0};
	struct flat flat = {.slice = &head, .piece = piece, .room = sizeof piece};
	int r = offset > file->length ? -ERANGE : find_head(file, offset, n, &head);
	if (r < 0 && r != -ERANGE)
		return r;
	if (r == 0) {
		const struct flat_table message = flat_root(&flat), batch = flat_table(&message, MESSAGE_HEADER);
		const bool is_batch = flat_number(&message, MESSAGE_KIND, 1, 0) == MESSAGE_IS_BATCH;
		const int64_t rows = flat_number(&batch, BATCH_LENGTH, 8, 0);
		const enum compression compression = compression_of(&batch);
		if (is_batch && !flat.bad) {
			add_batch(batches, rows, compression);
			return 0;
		}
	}
	add_batch(batches, -1, NOT_KNOWN);
	return flat.error;
}

/* --- columns --- */

/* The name of its extension type; NULL: it is of none. */
static const char *extension_of(const struct flat_table *field, uint32_t *ret_n)
{
	const struct flat_vector metadata = flat_vector(field, FIELD_METADATA, 4);
	for (uint32_t i = 0; i < metadata.count && i < METADATA_MAX; i++) {
		uint32_t n;
		const struct flat_table pair = flat_vector_table(&metadata, i);
		const char *key = flat_text(&pair, KEY_VALUE_KEY, NAME_MAX_SIZE, &n);
		if (key && n == strlen(EXTENSION_NAME) && memcmp(key, EXTENSION_NAME, n) == 0)
			return flat_text(&pair, KEY_VALUE_VALUE, NAME_MAX_SIZE, ret_n);
	}
	return NULL;
}

static void put_text(const char *text, uint32_t n, struct buf *buf)
{
	if (text)
		buf_json_string(buf, text, n);
	else
		buf_puts(buf, "null");
}

static void put_column(const struct flat_table *field, struct buf *buf)
{
	uint32_t n = 0;
	cleanup_buf struct buf type = {0};
	const char *name = flat_text(field, FIELD_NAME, NAME_MAX_SIZE, &n);
	buf_puts(buf, "{\"name\": ");
	put_text(name || n > NAME_MAX_SIZE ? name : "", n, buf);
	arrow_type_write(field, &type);
	buf->failed = buf->failed || type.failed;
	buf_puts(buf, ", \"type\": ");
	buf_json_string(buf, type.p, type.length);
	buf_printf(buf, ", \"nullable\": %s", flat_number(field, FIELD_NULLABLE, 1, 0) ? "true" : "false");
	const char *extension = extension_of(field, &n);
	if (extension) {
		buf_puts(buf, ", \"extension\": ");
		put_text(extension, n, buf);
	}
	buf_puts(buf, "}");
}

static void put_columns(const struct flat_vector *fields, struct buf *buf)
{
	const size_t end = buf->length + TEXT_MAX;
	uint32_t shown = 0;
	buf_puts(buf, ", \"columns\": [");
	for (; shown < fields->count && shown < ARROW_COLUMNS_SHOWN && buf->length < end; shown++) {
		const struct flat_table field = flat_vector_table(fields, shown);
		buf_puts(buf, shown > 0 ? ", " : "");
		put_column(&field, buf);
	}
	buf_puts(buf, "]");
	if (shown < fields->count)
		buf_printf(buf, ", \"columns_total\": %" PRIu32, fields->count);
}

/* --- the file --- */

static int describe(const struct slice *file, struct flat *footer, struct buf *buf)
{
	static const char *const compressions[] = {
		[NOT_KNOWN] = NULL, [NOT_COMPRESSED] = "none", [LZ4] = "lz4", [ZSTD] = "zstd", [MIXED] = "mixed"};
	const struct flat_table root = flat_root(footer), schema = flat_table(&root, FOOTER_SCHEMA);
	const struct flat_vector fields = flat_vector(&schema, SCHEMA_FIELDS, 4), blocks = flat_vector(&root, FOOTER_BATCHES, BLOCK_SIZE);
	struct batches batches = {.knows_rows = blocks.count <= ARROW_BATCHES_READ};
	for (uint32_t i = 0; i < blocks.count && i < ARROW_BATCHES_READ && !footer->bad; i++) {
		int r = read_batch(file, &blocks, i, &batches);
		if (r < 0)
			return r;
	}
	buf_puts(buf, "{\"rows\": ");
	if (batches.knows_rows)
		buf_printf(buf, "%" PRIu64, batches.rows);
	else
		buf_puts(buf, "null");
	buf_printf(buf, ", \"batches\": %" PRIu32 ", \"compression\": ", blocks.count);
	buf_json_text(buf, compressions[batches.compression]);
	put_columns(&fields, buf);
	buf_puts(buf, "}");
	return !schema.flat || footer->bad ? -EUCLEAN : 0;
}

/* Where the footer is. */
static int find_footer(const struct slice *file, struct slice *ret, const char **ret_reason)
{
	uint8_t end[END_SIZE] = {0};
	uint32_t n = 0;
	struct bytes rest = bytes_of(end, sizeof end);
	int r = file->length < BEGINNING_SIZE + END_SIZE ? -EUCLEAN : slice_read(file, file->length - END_SIZE, end, sizeof end);
	if (r == 0 && !(bytes_u32le(&rest, &n) && bytes_match(&rest, ARROW_MAGIC, MAGIC_SIZE)))
		r = -EUCLEAN;
	if (r == 0 && n > file->length - BEGINNING_SIZE - END_SIZE)
		r = -EUCLEAN;
	if (r == 0 && n > FOOTER_MAX) {
		*ret_reason = "the footer is over 8 MiB";
		return -EFBIG;
	}
	if (r == -EUCLEAN)
		*ret_reason = "there is no Arrow footer at its end";
	return r < 0 ? r : slice_sub(file, file->length - END_SIZE - n, n, ret);
}

int arrow_describe(const struct slice *file, struct buf *buf, const char **ret_reason)
{
	const size_t before = buf->length;
	const char *reason = NULL;
	cleanup_slice struct slice footer = {0};
	int r = find_footer(file, &footer, &reason);
	cleanup_free uint8_t *bytes = r == 0 ? malloc(footer.length ? footer.length : 1) : NULL;
	if (r == 0 && !bytes)
		return -ENOMEM;
	if (r == 0) {
		struct flat flat = {.slice = &footer, .piece = bytes, .room = (size_t)footer.length};
		r = describe(file, &flat, buf);
		if (flat.error < 0)
			r = flat.error;
	}
	if (r == -EUCLEAN && !reason)
		reason = "the Arrow footer makes no sense";
	if (r == -ENODATA)
		reason = "not all of it has been fetched yet";
	if (r == 0 && buf->failed)
		r = -ENOMEM;
	if (r < 0)
		buf->length = before;
	if (reason)
		*ret_reason = reason;
	return r;
}
