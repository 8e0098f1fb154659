/* meta/: what is known of an entry, as JSON. */
#include "views.h"

#include "ckfs/buf.h"
#include "ckfs/timestamp.h"

#include <stdlib.h>
#include <string.h>

/* A longer header is not repeated here; frame/ has it. */
#define HEADER_SHOWN_MAX (64u << 10)

static int meta_status(const struct entry *entry, enum level known, const char **ret_reason)
{
	(void)entry;
	(void)known;
	(void)ret_reason;
	return 0;
}

static const char *bool_name(bool b)
{
	return b ? "true" : "false";
}

static void put_key(const struct entry *entry, struct buf *buf)
{
	const struct key *key = entry_key(entry);
	char hex[KEY_HEX_SIZE + 1];
	key_hash_to_hex(&key->hash, hex);
	buf_puts(buf, "{\"key\": ");
	if (key->text)
		buf_json_string(buf, key->text, key->length);
	else
		buf_puts(buf, "null");
	buf_printf(buf, ", \"hash\": \"%s\", \"backend\": \"%s\"", hex, entry_backend(entry)->ops->name);
}

static void put_expires(const struct entry *entry, struct buf *buf)
{
	char text[TIMESTAMP_SIZE];
	int64_t expires = entry_stored(entry)->expires;
	backend_expires(entry_backend(entry), entry_stored(entry), &expires);
	timestamp_from_expiry(expires, text);
	buf_printf(buf, ", \"expires\": \"%s\"", text);
}

static void put_size(const struct entry *entry, struct buf *buf)
{
	const struct stored *stored = entry_stored(entry);
	buf_printf(buf, ", \"size\": {\"stored\": %llu, \"frame\": %llu, \"payload\": ", (unsigned long long)stored->size,
		(unsigned long long)stored->value.length);
	if (entry_frame(entry))
		buf_printf(buf, "%llu}", (unsigned long long)entry_payload(entry)->length);
	else
		buf_puts(buf, "null}");
}

/* The header of a v3 frame is JSON already: as it is stored, without the spaces that align the payload. */
static void put_v3_header(const struct entry *entry, const struct frame *frame, struct buf *buf)
{
	size_t n = (size_t)frame->header_length;
	char *text = frame->header_is_json && frame->header_length <= HEADER_SHOWN_MAX ? malloc(n + 1) : NULL;
	if (!text || slice_read(&entry_stored(entry)->value, frame->header_offset, text, n) < 0) {
		buf_puts(buf, "null");
	} else {
		while (n > 0 && strchr(" \t\r\n", text[n - 1]))
			n--;
		buf_put(buf, text, n);
	}
	free(text);
}

static void put_member(struct buf *buf, const char *name, const char *value)
{
	if (value) {
		buf_printf(buf, ", \"%s\": ", name);
		buf_json_text(buf, value);
	}
}

static void put_legacy_header(const struct frame_meta *meta, struct buf *buf)
{
	buf_puts(buf, "{\"serializer\": ");
	buf_json_text(buf, *meta->serializer ? meta->serializer : NULL);
	put_member(buf, "format", meta->format);
	put_member(buf, "encoding", meta->encoding);
	put_member(buf, "original_type", meta->original_type);
	if (meta->compressed != UNKNOWN)
		buf_printf(buf, ", \"compressed\": %s", bool_name(meta->compressed == YES));
	if (meta->encrypted != UNKNOWN)
		buf_printf(buf, ", \"encrypted\": %s", bool_name(meta->encrypted == YES));
	buf_puts(buf, "}");
}

static const char *frame_kind_name(const struct frame *frame)
{
	static const char *const names[] = {
		[FRAME_NONE] = "none", [FRAME_INTEROP] = "interop", [FRAME_V3] = "v3", [FRAME_LEGACY] = "legacy"};
	return frame ? names[frame->kind] : "malformed";
}

static void put_frame(const struct entry *entry, struct buf *buf)
{
	const struct frame *frame = entry_frame(entry);
	buf_printf(buf, ", \"frame\": {\"kind\": \"%s\", \"header\": ", frame_kind_name(frame));
	if (frame && frame->kind == FRAME_V3)
		put_v3_header(entry, frame, buf);
	else if (frame && frame->kind == FRAME_LEGACY)
		put_legacy_header(&frame->meta, buf);
	else
		buf_puts(buf, "null");
	buf_puts(buf, "}, \"seal\": ");
	if (frame && frame->meta.encrypted == YES) {
		buf_puts(buf, "{\"algorithm\": ");
		buf_json_text(buf, frame->meta.encryption_algorithm);
		buf_puts(buf, ", \"tenant_id\": ");
		buf_json_text(buf, frame->meta.tenant_id);
		buf_puts(buf, ", \"key_fingerprint\": ");
		buf_json_text(buf, frame->meta.key_fingerprint);
		buf_puts(buf, "}");
	} else {
		buf_puts(buf, "null");
	}
}

/* What stands between payload and document, where it is known. */
static const char *envelope_name(struct entry *entry)
{
	const struct document *d = entry_document(entry);
	if (d->fault < 0)
		return NULL;
	if (d->kind == DOCUMENT_ARROW || d->kind == DOCUMENT_NUMPY)
		return d->prefix == PREFIX_PRESENT ? "xxh3" : "none";
	if (d->kind == DOCUMENT_JSON && entry_checksum(entry) == CHECKSUM_OK)
		return "xxh3";
	return d->kind == DOCUMENT_JSON && entry_checksum(entry) == CHECKSUM_NONE ? "none" : NULL;
}

static void put_document(struct entry *entry, struct buf *buf)
{
	static const char *const checksums[] = {[CHECKSUM_NONE] = "none",
		[CHECKSUM_UNCHECKED] = "unchecked",
		[CHECKSUM_OK] = "ok",
		[CHECKSUM_MISMATCH] = "mismatch"};
	const struct frame *frame = entry_frame(entry);
	buf_puts(buf, ", \"envelope\": ");
	buf_json_text(buf, envelope_name(entry));
	buf_puts(buf, ", \"document\": ");
	buf_json_text(buf, frame ? document_name(entry_document(entry), frame) : NULL);
	buf_printf(buf, ", \"checksum\": \"%s\"", checksums[entry_checksum(entry)]);
}

static void put_views(struct entry *entry, struct buf *buf)
{
	enum level known = entry_level(entry);
	const char *separator = "";
	buf_puts(buf, ", \"views\": {");
	for (unsigned i = 0; i < VIEW_COUNT; i++) {
		const char *reason = NULL;
		if (i == VIEW_ROOT)
			continue;
		int r = views[i]->status(entry, known, &reason);
		buf_printf(buf, "%s\"%s\": ", separator, views[i]->name);
		if (r < 0)
			buf_json_text(buf, reason ? reason : strerror(-r));
		else
			buf_puts(buf, "true");
		separator = ", ";
	}
	buf_puts(buf, "}}\n");
}

static int meta_content(struct entry *entry, struct content *ret)
{
	struct buf buf = {0};
	put_key(entry, &buf);
	put_expires(entry, &buf);
	put_size(entry, &buf);
	put_frame(entry, &buf);
	put_document(entry, &buf);
	put_views(entry, &buf);
	return content_from_buf(&buf, ret);
}

const struct view meta_view = {
	.name = "meta",
	.extension = ".json",
	.size_level = LEVEL_DOCUMENT,
	.open_level = LEVEL_DOCUMENT,
	.afresh = true,
	.unlisted_size = true,
	.status = meta_status,
	.content = meta_content,
};
