#include "ckfs/attributes.h"

#include "ckfs/clock.h"
#include "ckfs/timestamp.h"

#include <errno.h>
#include <string.h>

static const struct frame_meta *meta_of(const struct entry *entry)
{
	const struct frame *frame = entry_frame(entry);
	return frame && (frame->kind == FRAME_V3 || frame->kind == FRAME_LEGACY) ? &frame->meta : NULL;
}

bool attributes_have_header(struct entry *entry)
{
	return entry_reached(entry, LEVEL_PAYLOAD) && meta_of(entry);
}

static bool put_text(struct buf *buf, const char *text)
{
	/* A serializer's name that cannot be told is empty. */
	if (text)
		buf_puts(buf, text);
	return text && *text;
}

static bool put_flag(struct buf *buf, enum tristate flag)
{
	return put_text(buf, flag == UNKNOWN ? NULL : flag == YES ? "true" : "false");
}

static bool put_key(struct entry *entry, struct buf *buf)
{
	const struct key *key = entry_key(entry);
	const struct backend *backend = entry_backend(entry);
	if (key->text) {
		buf_put(buf, backend->prefix, backend->prefix_length);
		buf_put(buf, key->text, key->length);
	}
	return key->text != NULL;
}

#define META_TEXT(member) \
	static bool put_##member(struct entry *entry, struct buf *buf) \
	{ \
		const struct frame_meta *meta = meta_of(entry); \
		return meta && put_text(buf, meta->member); \
	}

META_TEXT(serializer)
META_TEXT(format)
META_TEXT(original_type)
META_TEXT(encoding)
META_TEXT(tenant_id)
META_TEXT(key_fingerprint)

static bool put_compressed(struct entry *entry, struct buf *buf)
{
	const struct frame_meta *meta = meta_of(entry);
	return meta && put_flag(buf, meta->compressed);
}

/* A header that does not speak of it claims plaintext. */
static bool put_encrypted(struct entry *entry, struct buf *buf)
{
	const struct frame_meta *meta = meta_of(entry);
	return meta && put_flag(buf, meta->encrypted == UNKNOWN && !meta->fault ? NO : meta->encrypted);
}

/* Each entry has one: where it is not known yet, who asks for it is told. */
static bool put_expires(struct entry *entry, struct buf *buf)
{
	char text[TIMESTAMP_SIZE];
	const int64_t expires = entry_expires(entry);
	timestamp_from_expiry(expires, text);
	return expires == EXPIRES_UNKNOWN || put_text(buf, text);
}

static bool put_ttl(struct entry *entry, struct buf *buf)
{
	int64_t expires = entry_expires(entry);
	if (timestamp_is_never(expires) || expires == EXPIRES_UNKNOWN)
		return false;
	int64_t left = expires - clock_unix();
	buf_printf(buf, "%lld", (long long)(left > 0 ? left : 0));
	return true;
}

static bool put_frame_size(struct entry *entry, struct buf *buf)
{
	buf_printf(buf, "%llu", (unsigned long long)entry_stored(entry)->value.length);
	return true;
}

static bool put_payload_size(struct entry *entry, struct buf *buf)
{
	if (!entry_frame(entry))
		return false;
	buf_printf(buf, "%llu", (unsigned long long)entry_payload(entry)->length);
	return true;
}

static bool put_error(struct entry *entry, struct buf *buf)
{
	const char *reason = NULL;
	int r = entry_fault(entry, LEVEL_RENDERING(RENDERING_JSON), &reason);
	if (r < 0)
		buf_printf(buf, "%s (%s)", reason ? reason : strerror(-r), strerrorname_np(-r));
	return r < 0;
}

static const struct {
	const char *name;
	bool (*get)(struct entry *entry, struct buf *buf);
} rows[ATTRIBUTE_COUNT] = {
	{"key", put_key},
	{"serializer", put_serializer},
	{"format", put_format},
	{"original_type", put_original_type},
	{"encoding", put_encoding},
	{"compressed", put_compressed},
	{"encrypted", put_encrypted},
	{"tenant_id", put_tenant_id},
	{"key_fingerprint", put_key_fingerprint},
	{"expires", put_expires},
	{"ttl", put_ttl},
	{"size.frame", put_frame_size},
	{"size.payload", put_payload_size},
	{"error", put_error},
};

const char *attribute_name(unsigned number)
{
	return rows[number].name;
}

unsigned attribute_find(const char *name)
{
	unsigned i = 0;
	while (i < ATTRIBUTE_COUNT && strcmp(name, rows[i].name) != 0)
		i++;
	return i;
}

bool attribute_tells_expiry(unsigned number)
{
	return rows[number].get == put_expires || rows[number].get == put_ttl;
}

bool attribute_get(unsigned number, struct entry *entry, struct buf *buf)
{
	return rows[number].get(entry, buf);
}
