/*
 * layer-probe: what the layers make of bytes, for tests/unit/layers.py to compare
 * with cachekit, json, orjson and numpy; and what rules decide, for tables of cases.
 *
 * Requests come on stdin: mode, length u32 BE, bytes. Each is answered by one line of JSON.
 *
 *   f  a stored value (i: under an interop key)       its frame and payload
 *   p  JSON as Python reads it (s: as orjson does)    its events
 *   d  the name of a NumPy dtype                      descr and item size
 *   n  a NUMPY_RAW document                           .npy header, where the array lies
 *   o  an orjson payload                              has it a prefix
 *   c  a payload with a prefix                        does the prefix match
 *   k  the configuration of the keys                  how many there are, or what is wrong
 *   h  that, a tenant, a fingerprint                  which key it names
 *   u  that, a tenant, the key's number, what the     the plaintext
 *      seal is bound to, a sealed payload
 *
 *   b  a ByteStorage envelope (q: quickly)            what it says, and its document
 *   w  a MessagePack document                         is it one
 *   m  a MessagePack document that is one             its columns
 *   j  a MessagePack document                         its JSON (l: how long that is; x: cancelled on the way)
 *
 *   v  facts and a record (probe_versions.h)          what names a version of a Redis value
 *   a  what follows memcached://, a line, keys        the servers, and which of them has each key (probe_servers.h;
 *                                                     e: the SDK's list instead)
 *
 *   K  R  T  U  (probe_http.h)                    keys, waits, times to live and URLs of the CacheKit service
 *
 * Those of k, h and u are texts with their length (u32 BE, 0xffffffff: none) before each.
 */
#include "probe_http.h"
#include "probe_servers.h"
#include "probe_versions.h"

#include "ckfs/bytes.h"
#include "ckfs/bytestorage.h"
#include "ckfs/cleanup.h"
#include "ckfs/frame.h"
#include "ckfs/json_scan.h"
#include "ckfs/keyring.h"
#include "ckfs/msgpack.h"
#include "ckfs/numpy.h"
#include "ckfs/prefix.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

static void print_hex(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	putchar('"');
	for (size_t i = 0; i < n; i++)
		printf("%02x", p[i]);
	putchar('"');
}

/* A member whose value is a text in hex, or null. */
static void print_text(const char *name, const char *text)
{
	printf(", \"%s\": ", name);
	if (text)
		print_hex(text, strlen(text));
	else
		printf("null");
}

static void print_error(int r, const char *reason)
{
	printf("{\"errno\": %d", -r);
	print_text("reason", reason);
}

/* A sink that keeps what it gets. */
struct kept {
	uint8_t *bytes;
	size_t n;
};

static int kept_write(void *arg, const void *bytes, size_t n)
{
	struct kept *kept = arg;
	uint8_t *grown = realloc(kept->bytes, kept->n + n);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + kept->n, bytes, n);
	kept->bytes = grown;
	kept->n += n;
	return 0;
}

static int kept_restart(void *arg)
{
	((struct kept *)arg)->n = 0;
	return 0;
}

static void kept_done(struct kept *kept)
{
	free(kept->bytes);
}

static void print_frame(const struct frame *frame, const uint8_t *payload, size_t n)
{
	static const char *const kinds[] = {"none", "interop", "v3", "legacy"};
	static const char *const tristates[] = {"null", "false", "true"};
	const struct frame_meta *m = &frame->meta;
	printf("{\"errno\": 0, \"kind\": \"%s\"", kinds[frame->kind]);
	print_text("serializer", m->serializer);
	print_text("format", m->format);
	print_text("encoding", m->encoding);
	print_text("original_type", m->original_type);
	print_text("tenant_id", m->tenant_id);
	print_text("encryption_algorithm", m->encryption_algorithm);
	print_text("key_fingerprint", m->key_fingerprint);
	print_text("fault", m->fault);
	printf(", \"compressed\": %s, \"encrypted\": %s", tristates[m->compressed + 1], tristates[m->encrypted + 1]);
	printf(", \"header_is_json\": %s, \"header_offset\": %llu, \"header_length\": %llu, \"payload_length\": %llu, \"payload\": ",
	       frame->header_is_json ? "true" : "false", (unsigned long long)frame->header_offset,
	       (unsigned long long)frame->header_length, (unsigned long long)frame->payload_length);
	print_hex(payload, n);
}

static int probe_frame(const struct slice *value, const uint8_t *bytes, bool interop)
{
	cleanup_with(frame_done) struct frame frame = {0};
	cleanup_with(kept_done) struct kept kept = {0};
	const struct legacy_sink sink = {.write = kept_write, .restart = kept_restart, .arg = &kept};
	const char *reason = NULL;
	int r = frame_read(value, interop, FRAME_HEADER_MAX, NULL, &frame, &reason);
	if (r == 0 && frame.maybe_legacy)
		r = legacy_read(value, &sink, NULL, &frame);
	if (r < 0)
		print_error(r, reason);
	else if (frame.kind == FRAME_LEGACY)
		print_frame(&frame, kept.bytes, kept.n);
	else
		print_frame(&frame, bytes + frame.payload_offset, (size_t)frame.payload_length);
	return 0;
}

/* Prints each event: its letter, or a text in hex behind its letter. */
static int print_event(void *arg, enum json_event event, unsigned level, const uint8_t *bytes, size_t n)
{
	static const char letters[] = "{}[]kKsS#tf0";
	bool *in_text = arg;
	(void)level;
	if (event == JSON_KEY_PART || event == JSON_STRING_PART) {
		if (!*in_text)
			putchar(letters[event]);
		for (size_t i = 0; i < n; i++)
			printf("%02x", bytes[i]);
	} else {
		putchar(letters[event]);
	}
	*in_text = event == JSON_KEY_PART || event == JSON_STRING_PART;
	return 0;
}

static int probe_json(const uint8_t *bytes, size_t n, enum json_dialect dialect)
{
	struct json_scan scan, slow;
	bool in_text = false;
	int r = 0, r_slow = 0;
	printf("{\"events\": \"");
	json_scan_init(&scan, dialect, print_event, &in_text);
	json_scan_init(&slow, dialect, NULL, NULL);
	r = json_scan_feed(&scan, bytes, n);
	for (size_t i = 0; i < n && r_slow == 0; i++)
		r_slow = json_scan_feed(&slow, bytes + i, 1);
	if (r == 0)
		r = json_scan_end(&scan);
	if (r_slow == 0)
		r_slow = json_scan_end(&slow);
	printf("\", \"errno\": %d, \"errno_bytewise\": %d, \"nonfinite\": %s", -r, -r_slow, scan.nonfinite ? "true" : "false");
	return 0;
}

static int probe_dtype(const uint8_t *bytes, size_t n)
{
	struct ndarray array = {0};
	int r = numpy_descr((const char *)bytes, n, &array);
	if (r < 0) {
		print_error(r, NULL);
		printf(", \"may_read\": %s", numpy_may_read((const char *)bytes, n) ? "true" : "false");
	} else {
		printf("{\"errno\": 0, \"descr\": \"%s\", \"itemsize\": %llu", array.descr, (unsigned long long)array.itemsize);
	}
	return 0;
}

static int probe_numpy(const struct slice *document)
{
	struct ndarray array;
	const char *reason = NULL;
	cleanup_free char *header = NULL;
	size_t n;
	int r = numpy_read(document, &array, &reason);
	if (r == 0)
		r = numpy_write_header(&array, &header, &n);
	if (r < 0) {
		print_error(r, reason);
		return 0;
	}
	printf("{\"errno\": 0, \"data_offset\": %llu, \"data_length\": %llu, \"header\": ",
	       (unsigned long long)array.data_offset, (unsigned long long)array.data_length);
	print_hex(header, n);
	return 0;
}

static int probe_orjson(const struct slice *payload)
{
	enum prefix prefix = PREFIX_ABSENT;
	int r = prefix_read_json(payload, NULL, &prefix);
	printf("{\"errno\": %d, \"prefix\": %s", -r, prefix == PREFIX_PRESENT ? "true" : "false");
	return 0;
}

/* The next text of a request, or NULL. */
static char *take_text(struct bytes *b, size_t *ret_length)
{
	const uint8_t *p;
	uint32_t n;
	if (!bytes_u32be(b, &n) || n == UINT32_MAX || !bytes_take(b, n, &p))
		return NULL;
	char *text = malloc((size_t)n + 1);
	if (!text)
		return NULL;
	*(char *)mempcpy(text, p, n) = '\0';
	if (ret_length)
		*ret_length = n;
	return text;
}

static void keyring_done(struct keyring **keyring)
{
	keyring_free(*keyring);
}

static int probe_keyring(struct bytes *b, struct keyring **ret)
{
	cleanup_free char *master = take_text(b, NULL);
	cleanup_free char *previous = take_text(b, NULL);
	cleanup_free char *deployment = take_text(b, NULL);
	struct error error = {.text = ""};
	int r = keyring_new(master, "CACHEKIT_MASTER_KEY", previous, deployment, ret, &error);
	print_error(r, error.text);
	if (r == 0 && *ret)
		printf(", \"count\": %u, \"deployment\": \"%s\"", keyring_count(*ret), keyring_deployment(*ret));
	return 0;
}

static void probe_choice(struct bytes *b, const struct keyring *keyring)
{
	cleanup_free char *tenant = take_text(b, NULL);
	cleanup_free char *fingerprint = take_text(b, NULL);
	printf(", \"number\": %d", keyring_choose(keyring, tenant, fingerprint));
}

static void probe_seal(struct bytes *b, const struct keyring *keyring)
{
	size_t key_length = 0, n = 0;
	cleanup_free char *tenant = take_text(b, NULL);
	cleanup_free char *number = take_text(b, NULL);
	cleanup_free char *key = take_text(b, &key_length);
	cleanup_free char *format = take_text(b, NULL);
	cleanup_free char *compressed = take_text(b, NULL);
	cleanup_free char *original_type = take_text(b, NULL);
	const struct seal seal = {.tenant = tenant, .key = key, .key_length = key_length, .format = format,
		.compressed = compressed && *compressed == 'T', .original_type = original_type};
	const uint8_t *bytes = NULL;
	uint32_t length = 0;
	if (number && bytes_u32be(b, &length) && bytes_take(b, length, &bytes))
		n = length;
	/* A byte of its own behind the payload: opening must leave it alone. */
	cleanup_free uint8_t *sealed = malloc(n + 1);
	if (!sealed || !number || !bytes)
		return;
	memcpy(sealed, bytes, n);
	sealed[n] = 0xa5;
	int r = seal_open(keyring, (unsigned)(*number - '0'), &seal, sealed, n);
	printf(", \"opened\": %d, \"intact\": %s, \"plaintext\": ", -r, sealed[n] == 0xa5 ? "true" : "false");
	if (r == 0)
		print_hex(sealed + SEAL_NONCE, n - SEAL_OVERHEAD);
	else
		printf("null");
}

static int probe_keys(uint8_t mode, const uint8_t *bytes, size_t n)
{
	struct bytes b = bytes_of(bytes, n);
	cleanup_with(keyring_done) struct keyring *keyring = NULL;
	int r = probe_keyring(&b, &keyring);
	if (mode == 'h' && keyring)
		probe_choice(&b, keyring);
	if (mode == 'u' && keyring)
		probe_seal(&b, keyring);
	return r;
}

/* Room of which all is kept, or nothing but how much it was. */
struct room {
	struct sink sink;
	bool keep;
	uint8_t *bytes;  /* all of them, or the last piece */
	uint64_t before; /* bytes of the pieces before it */
	size_t more;     /* room beyond what was asked for; what is kept doubles as well */
	bool cancelling; /* cancel as soon as there is room */
	atomic_bool cancel;
};

static uint64_t room_written(const struct room *room)
{
	return room->before + (uint64_t)(room->sink.p - room->bytes);
}

static int room_more(struct sink *sink, size_t n)
{
	struct room *room = (struct room *)sink;
	size_t kept = room->keep ? (size_t)room_written(room) : 0;
	if (!room->keep)
		room->before = room_written(room);
	size_t free_room = n + kept + room->more;
	uint8_t *grown = realloc(room->bytes, kept + free_room);
	if (!grown)
		return -ENOMEM;
	room->bytes = grown;
	sink->p = grown + kept;
	sink->end = sink->p + free_room;
	atomic_store(&room->cancel, room->cancelling);
	return 0;
}

static void room_done(struct room *room)
{
	free(room->bytes);
}

static int probe_msgpack(const uint8_t *bytes, size_t n, uint8_t mode)
{
	const char *reason = NULL;
	cleanup_with(room_done) struct room room = {
		.sink.more = room_more,
		.keep = mode == 'j',
		.more = mode == 'x' ? 128 << 20 : 0,
		.cancelling = mode == 'x',
	};
	int r = msgpack_walk(bytes, n, NULL, &reason);
	if (r == 0)
		r = msgpack_to_json(bytes, n, &room.sink, &room.cancel, &reason);
	print_error(r, r < 0 ? reason : NULL);
	printf(", \"length\": %llu, \"json\": ", (unsigned long long)room_written(&room));
	print_hex(room.bytes, r == 0 && room.keep ? (size_t)room_written(&room) : 0);
	return 0;
}

static int probe_envelope(const struct slice *payload, bool quick)
{
	struct bytestorage e;
	const char *reason = NULL;
	cleanup_free uint8_t *document = NULL;
	int r = bytestorage_read(payload, quick, NULL, &e, &reason);
	if (r == 0) {
		document = malloc(bytestorage_room(&e) + 1);
		r = document ? bytestorage_decode(&e, payload, true, NULL, document, NULL, &reason) : -ENOMEM;
	}
	if (r == 1 && document) {
		cleanup_free uint8_t *block = malloc(e.compressed);
		struct sink spare = {.p = block, .end = block + e.compressed};
		r = block ? bytestorage_decode(&e, payload, true, NULL, document, &spare, &reason) : -ENOMEM;
	}
	if (r != 0) {
		print_error(r, reason);
		return 0;
	}
	printf("{\"errno\": 0, \"integers\": %s, \"strict\": %s, \"compressed\": %u, \"data_offset\": %llu, \"data_length\": %llu",
	       e.integers ? "true" : "false", e.strict ? "true" : "false", e.compressed, (unsigned long long)e.data_offset,
	       (unsigned long long)e.data_length);
	print_text("format", e.format);
	printf(", \"document\": ");
	print_hex(document, e.original);
	return 0;
}

static int probe_walk(const uint8_t *bytes, size_t n)
{
	const char *reason = NULL;
	int r = msgpack_walk(bytes, n, NULL, &reason);
	print_error(r, reason);
	return 0;
}

static int probe_columns(const uint8_t *bytes, size_t n)
{
	cleanup_with(buf_done) struct buf buf = {0};
	bool known = msgpack_describe_columns(bytes, n, NULL, &buf) > 0;
	printf("{\"columns\": %.*s", known ? (int)buf.length : 4, known ? buf.p : "null");
	return 0;
}

static int probe(uint8_t mode, const uint8_t *bytes, size_t n)
{
	cleanup_with(slice_done) struct slice slice = {0};
	int r = slice_new_copy(bytes, n, &slice);
	if (r < 0)
		return r;
	switch (mode) {
	case 'f':
	case 'i':
		return probe_frame(&slice, bytes, mode == 'i');
	case 'p':
	case 's':
		return probe_json(bytes, n, mode == 's' ? JSON_ORJSON : JSON_PYTHON);
	case 'd':
		return probe_dtype(bytes, n);
	case 'n':
		return probe_numpy(&slice);
	case 'o':
		return probe_orjson(&slice);
	case 'j':
	case 'l':
	case 'x':
		return probe_msgpack(bytes, n, mode);
	case 'c':
		printf("{\"errno\": %d", -prefix_check(&slice, NULL));
		return 0;
	case 'k':
	case 'h':
	case 'u':
		return probe_keys(mode, bytes, n);
	case 'b':
	case 'q':
		return probe_envelope(&slice, mode == 'q');
	case 'w':
		return probe_walk(bytes, n);
	case 'm':
		return probe_columns(bytes, n);
	case 'v':
		return probe_versions(bytes, n);
	case 'a':
	case 'e':
		return probe_servers(bytes, n, mode == 'e');
	case 'K':
	case 'R':
	case 'T':
	case 'U':
		return probe_http(mode, bytes, n);
	default:
		return -EINVAL;
	}
}

int main(void)
{
	uint8_t head[5];
	if (sodium_init() < 0)
		return 1;
	while (fread(head, 1, sizeof head, stdin) == sizeof head) {
		struct bytes b = bytes_of(head, sizeof head);
		uint8_t mode = 0;
		uint32_t n = 0;
		(void)(bytes_u8(&b, &mode) && bytes_u32be(&b, &n));
		cleanup_free uint8_t *bytes = malloc(n ? n : 1);
		if (!bytes || fread(bytes, 1, n, stdin) != n || probe(mode, bytes, n) < 0)
			return 1;
		puts("}");
		fflush(stdout);
	}
	return 0;
}
