/* meta/: what is known of an entry, as JSON. */
#include "views.h"

#include "ckfs/arrow.h"
#include "ckfs/buf.h"
#include "ckfs/cleanup.h"
#include "ckfs/timestamp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A longer header is not repeated here; frame/ has it. */
#define HEADER_SHOWN_MAX (64u << 10)

static int meta_status(struct entry *entry, enum level level, const char **ret_reason)
{
	(void)entry;
	(void)level;
	(void)ret_reason;
	return 0;
}

static const char *bool_name(bool b)
{
	return b ? "true" : "false";
}

/* 0, -errno: that it could not be told now must not look like one that is not known. */
static int put_key(const struct entry *entry, struct buf *buf)
{
	const struct key *key = entry_key(entry);
	char hex[KEY_HEX_SIZE + 1];
	key_hash_to_hex(&key->hash, hex);
	buf_puts(buf, "{\"key\": ");
	cleanup_key struct key stored = {0};
	int r = key->text ? backend_stored_key(entry_backend(entry), key, &stored) : 0;
	if (stored.text)
		buf_json_string(buf, stored.text, stored.length);
	else
		buf_puts(buf, "null");
	buf_printf(buf, ", \"hash\": \"%s\", \"backend\": \"%s\"", hex, entry_backend(entry)->ops->name);
	return r;
}

/* As the lookup, or the open, has found it: whoever makes the content does not wait for the backend. */
static void put_expires(struct entry *entry, struct buf *buf)
{
	char text[TIMESTAMP_SIZE];
	const int64_t expires = entry_expires(entry);
	timestamp_from_expiry(expires, text);
	buf_puts(buf, ", \"expires\": ");
	buf_json_text(buf, expires == EXPIRES_UNKNOWN ? NULL : text);
	if (entry_is_stale(entry))
		buf_puts(buf, ", \"stale\": true");
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

/* The header of a v3 frame is JSON already: as it is stored, without the spaces that align the payload. 0, -errno. */
static int put_v3_header(const struct entry *entry, const struct frame *frame, struct buf *buf)
{
	if (!frame->header_is_json || frame->header_length > HEADER_SHOWN_MAX) {
		buf_puts(buf, "null");
		return 0;
	}
	size_t n = (size_t)frame->header_length;
	cleanup_free char *text = malloc(n + 1);
	int r = text ? slice_read(&entry_stored(entry)->value, frame->header_offset, text, n) : -ENOMEM;
	if (r < 0)
		return r;
	while (n > 0 && strchr(" \t\r\n", text[n - 1]))
		n--;
	buf_put(buf, text, n);
	return 0;
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

static int put_frame(const struct entry *entry, struct buf *buf)
{
	const struct frame *frame = entry_frame(entry);
	int r = 0;
	buf_printf(buf, ", \"frame\": {\"kind\": \"%s\", \"header\": ", frame_kind_name(frame));
	if (frame && frame->kind == FRAME_V3)
		r = put_v3_header(entry, frame, buf);
	else if (frame && frame->kind == FRAME_LEGACY)
		put_legacy_header(&frame->meta, buf);
	else
		buf_puts(buf, "null");
	/* Neither the value nor its key says so. */
	if (frame && frame->declared)
		buf_puts(buf, ", \"declared\": \"bare=msgpack\"");
	buf_puts(buf, "}");
	return r;
}

/* Which key opens it, or fits, by its place in the keyring. */
static const char *key_name(int number)
{
	return number < 0 ? NULL : number == 0 ? "current" : "previous";
}

/* Null where nothing was sealed and nobody expects it. */
static void put_seal(struct entry *entry, struct buf *buf)
{
	const struct frame *frame = entry_frame(entry);
	struct seal_state seal = entry_seal(entry);
	bool framed = frame && frame->meta.encrypted == YES;
	buf_puts(buf, ", \"seal\": ");
	if (!seal.sealed && !seal.has_keyring) {
		buf_puts(buf, "null");
		return;
	}
	buf_printf(buf, "{\"sealed\": %s, \"verified\": %s, \"algorithm\": ", bool_name(seal.sealed), bool_name(seal.verified));
	buf_json_text(buf, framed ? frame->meta.encryption_algorithm : seal.sealed ? "AES-256-GCM" : NULL);
	buf_puts(buf, ", \"tenant_id\": ");
	buf_json_text(buf, framed ? frame->meta.tenant_id : seal.bare_tenant);
	buf_puts(buf, ", \"key_fingerprint\": ");
	buf_json_text(buf, framed ? frame->meta.key_fingerprint : NULL);
	buf_puts(buf, ", \"key\": ");
	buf_json_text(buf, key_name(seal.key));
	put_member(buf, "declared", seal.bare_tenant ? "bare_tenant" : NULL);
	buf_puts(buf, "}");
}

/* What stands between payload and document, where it is known. */
static void put_envelope(struct entry *entry, struct buf *buf)
{
	static const char *const names[] = {[ENVELOPE_NONE] = "none", [ENVELOPE_PREFIX] = "xxh3", [ENVELOPE_BYTESTORAGE] = "bytestorage"};
	const struct document *d = entry_document(entry);
	enum envelope envelope = entry_envelope(entry);
	uint64_t compressed, original;
	buf_puts(buf, ", \"envelope\": ");
	if (envelope == ENVELOPE_UNKNOWN || d->kind == DOCUMENT_OPAQUE) {
		buf_puts(buf, "null");
		return;
	}
	buf_printf(buf, "{\"kind\": \"%s\"", names[envelope]);
	if (entry_compression(entry, &compressed, &original))
		buf_printf(buf, ", \"compressed\": %llu, \"original\": %llu, \"ratio\": %.2f", (unsigned long long)compressed,
			(unsigned long long)original, compressed ? (double)original / (double)compressed : 0);
	if (d->has_storage) {
		buf_puts(buf, ", \"format\": ");
		buf_json_text(buf, d->storage.format);
	}
	buf_puts(buf, "}");
}

static void put_document(struct entry *entry, struct buf *buf)
{
	static const char *const checksums[] = {[CHECKSUM_NONE] = "none",
		[CHECKSUM_UNCHECKED] = "unchecked",
		[CHECKSUM_OK] = "ok",
		[CHECKSUM_MISMATCH] = "mismatch"};
	const struct frame *frame = entry_frame(entry);
	const struct document *d = entry_document(entry);
	buf_puts(buf, ", \"document\": ");
	buf_json_text(buf, frame ? document_name(d, frame) : NULL);
	buf_printf(buf, ", \"checksum\": \"%s\"", checksums[entry_checksum(entry)]);
	if (frame && document_has_columns(d, frame)) {
		const struct slice nothing = {0};
		bool reached = entry_reached(entry, LEVEL_RENDERING(RENDERING_COLUMNS));
		const struct slice *columns = reached ? entry_rendering(entry, RENDERING_COLUMNS) : &nothing;
		bool known = columns->length > 0;
		buf_puts(buf, ", \"columns\": ");
		buf_put(buf, known ? (const char *)slice_memory(columns) : "null", known ? (size_t)columns->length : 4);
	}
}

/* Of a table: its columns, by its footer alone. Nothing is checked for it, nor fetched or decoded: what it takes is the same for tables of any size. */
static void put_arrow(struct entry *entry, struct buf *buf)
{
	const struct view *arrow = views[VIEW_ARROW];
	const char *reason = NULL;
	cleanup_slice struct slice file = {0};
	if (entry_document(entry)->kind != DOCUMENT_ARROW)
		return;
	buf_puts(buf, ", \"arrow\": ");
	int r = arrow->status(entry, arrow->open_level, &reason);
	if (r == 0 && !entry_body_at_hand(entry, &file)) {
		r = -ENODATA;
		reason = "sealed, and not kept decrypted: it is told while arrow/ has it open";
	}
	if (r == 0)
		r = arrow_describe(&file, buf, &reason);
	if (r < 0) {
		buf_puts(buf, "null");
		put_member(buf, "arrow_reason", reason ? reason : strerror(-r));
	}
}

static void put_views(struct entry *entry, struct buf *buf)
{
	const char *separator = "";
	buf_puts(buf, ", \"views\": {");
	for (unsigned i = 0; i < VIEW_COUNT; i++) {
		const char *reason = NULL;
		if (i == VIEW_ROOT)
			continue;
		int r = views[i]->status(entry, views[i]->open_level, &reason);
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
	cleanup_buf struct buf buf = {0};
	int r = put_key(entry, &buf);
	put_expires(entry, &buf);
	put_size(entry, &buf);
	r = r < 0 ? r : put_frame(entry, &buf);
	if (r < 0)
		return r;
	put_seal(entry, &buf);
	put_envelope(entry, &buf);
	put_document(entry, &buf);
	put_arrow(entry, &buf);
	put_views(entry, &buf);
	return content_from_buf(&buf, ret);
}

const struct view meta_view = {
	.name = "meta",
	.extension = ".json",
	.size_level = LEVEL_RENDERING(RENDERING_COLUMNS),
	.open_level = LEVEL_RENDERING(RENDERING_COLUMNS),
	/* What else is known of an entry is told all the same. */
	.lacking_level = LEVEL_DOCUMENT,
	.afresh = true,
	.unlisted_size = true,
	.status = meta_status,
	.content = meta_content,
};
