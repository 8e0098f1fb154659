#include "item.h"

#include "backend/remote/key_prefix.h"
#include "backend/remote/receive.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <string.h>

/* --- names --- */

/* What the text protocol parts words and lines by. Of a name that would be too long in base64, these alone cannot be sent. */
static bool is_separator(uint8_t c)
{
	return c == ' ' || c == '\r' || c == '\n' || c == '\0';
}

static bool has(const char *name, size_t n, bool separators_only)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t c = (uint8_t)name[i];
		if (separators_only ? is_separator(c) : c <= ' ' || c == 0x7f)
			return true;
	}
	return false;
}

static int name_of(const char *key, size_t n, struct mc_name *ret)
{
	char encoded[sodium_base64_ENCODED_LEN(MEMCACHED_KEY_MAX, sodium_base64_VARIANT_ORIGINAL)];
	struct mc_name name = {.length = n};
	if (has(key, n, false)) {
		sodium_bin2base64(encoded, sizeof encoded, (const uint8_t *)key, n, sodium_base64_VARIANT_ORIGINAL);
		name.base64 = strlen(encoded) <= sizeof name.text;
		if (!name.base64 && has(key, n, true))
			return -ENAMETOOLONG;
	}
	name.length = name.base64 ? strlen(encoded) : n;
	memcpy(name.text, name.base64 ? encoded : key, name.length);
	*ret = name;
	return 0;
}

int mc_name_make(const struct mc_backend *b, const struct key *key, struct mc_name *ret, struct mc_server **ret_server)
{
	size_t n;
	if (!key->text || key->length == 0 || key->length > MEMCACHED_KEY_MAX || b->backend.prefix_length > MEMCACHED_KEY_MAX - key->length)
		return -ENOENT;
	cleanup_free char *text = key_prefix_put(&b->backend, key, &n);
	if (!text)
		return -ENOMEM;
	int r = name_of(text, n, ret);
	if (r == 0)
		*ret_server = &b->servers[placement_of(&b->source, text, n)];
	return r;
}

/* --- questions --- */

void mc_item_put(struct mc_connection *c, const struct mc_name *name, bool value)
{
	struct buf *out = &c->stream.out;
	buf_puts(out, "mg ");
	buf_put(out, name->text, name->length);
	/* No `k`: of keys with blanks it would be no word. */
	buf_printf(out, " s t c f u O%" PRIu32 "%s%s\r\n", ++c->put, value ? " v" : "", name->base64 ? " b" : "");
}

/* --- answers --- */

/* No two kinds of version have the same bytes. */
struct identity {
	struct key_hash key;
	uint64_t process; /* 0: by the content */
	uint64_t number;
	XXH128_hash_t content;
	uint64_t size;
};

static struct version version_of(const struct mc_backend *b, const struct identity *identity)
{
	struct version version;
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(identity, sizeof *identity, b->seed));
	memcpy(version.id, canonical.digest, sizeof version.id);
	return version;
}

static int read_some(void *from, void *to, size_t n)
{
	return stream_read(from, to, n);
}

/* A value and its end. */
static int read_value(struct mc_connection *c, const struct mc_backend *b, uint64_t size, struct spool *spool, XXH128_hash_t *ret_content,
	struct slice *ret)
{
	cleanup_slice struct slice value = {0};
	char end[2];
	int r = receive_value(&(struct receive){.read = read_some, .from = &c->stream, .spool = spool, .seed = b->seed}, size, ret_content, &value);
	if (r == 0)
		r = stream_read(&c->stream, end, sizeof end);
	if (r == 0 && memcmp(end, "\r\n", 2) != 0)
		r = -EIO;
	/* What is left of a value, for lack of room as well, would be read as answers. */
	if (r < 0)
		return stream_fail(&c->stream, r);
	*ret = slice_steal(&value);
	return 0;
}

/* By the server's clock it is the same second for as long as nobody changes it; by ours it may be the one beside. */
static int64_t expiry_of(const struct mc_reply *reply)
{
	return reply->ttl < 0 ? 0 : clock_unix() + reply->ttl;
}

int mc_item_read(struct mc_connection *c, const struct mc_backend *b, const struct key_hash *key, const struct version *expect, struct spool *spool,
	struct mc_item_found *ret)
{
	struct mc_reply reply;
	struct mc_item_found found = {.nameless = false};
	struct identity identity;
	/* No padding of it is hashed. */
	memset(&identity, 0, sizeof identity);
	int r = mc_connection_reply(c, &reply);
	/* A head is no empty value. And of a value that nobody asked for, its bytes would be read as answers. */
	if (r == 0 && (reply.kind != (spool ? MC_VALUE : MC_HEAD) || !reply.has_size))
		r = stream_fail(&c->stream, -EIO);
	if (r < 0)
		return r;
	found.size = identity.size = reply.size;
	found.expires = expiry_of(&reply);
	identity.key = *key;
	identity.process = reply.cas ? c->process : 0;
	identity.number = reply.cas;
	if (reply.cas)
		found.version = version_of(b, &identity);
	if (expect && reply.cas && reply.kind == MC_VALUE && reply.size > RECEIVE_SMALL && !version_equal(&found.version, expect))
		return stream_fail(&c->stream, -ESTALE);
	if (reply.kind == MC_VALUE) {
		found.whole = true;
		r = read_value(c, b, reply.size, spool, reply.cas ? NULL : &identity.content, &found.value);
		if (r < 0)
			return r;
	}
	if (!reply.cas && found.whole)
		found.version = version_of(b, &identity);
	if (!reply.cas && !found.whole) {
		found.nameless = true;
		randombytes_buf(&found.version, sizeof found.version);
	}
	*ret = found;
	return 0;
}

void mc_item_done(struct mc_item_found *found)
{
	slice_done(&found->value);
	found->whole = false;
}
