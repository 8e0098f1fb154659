#include "stored.h"

#include "ckfs/cleanup.h"
#include "ckfs/keyring.h"

#include "choices.h"
#include "documents.h"
#include "fuzz.h"
#include "writers.h"

#include <string.h>

const char stored_master[] = "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0";
const char stored_previous[] = "b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1";

#define NO_MEMBER "-"

/* What the header says, and what a seal is bound to. NO_MEMBER: the header has no such member; in `compressed`, any other JSON is possible. */
struct claims {
	const char *serializer, *format, *original_type, *compressed, *encrypted, *tenant, *algorithm, *fingerprint;
	char fitting_fingerprint[33];
	bool bound_otherwise; /* the seal is bound to something else than what the header says */
};

/* A value on its way: layer after layer is put around the document. */
struct making {
	struct bytes choices, rest, alterations;
	struct stored_value *value;
	enum frame_form frame;
	enum seal_form seal;
	enum document_form form;
	unsigned envelope; /* 0 none, 1 prefix, 2… ByteStorage */
	struct claims claims;
	bool document_altered, envelope_altered, payload_altered, value_altered;
};

/* --- alterations --- */

enum layer { LAYER_DOCUMENT, LAYER_ENVELOPE, LAYER_PAYLOAD, LAYER_VALUE, LAYERS };

static void alter(struct buf *bytes, unsigned kind, unsigned place, uint8_t byte)
{
	size_t at = bytes->length ? place % bytes->length : 0;
	uint8_t *p = (uint8_t *)bytes->p;
	if (kind == 3 || bytes->length == 0) { /* put in */
		buf_put(bytes, &byte, 1);
		p = (uint8_t *)bytes->p;
		memmove(p + at + 1, p + at, bytes->length - 1 - at);
		p[at] = byte;
	} else if (kind == 0) {
		p[at] = byte;
	} else if (kind == 1) {
		p[at] ^= (uint8_t)(1 << byte % 8);
	} else if (kind == 2) { /* take out */
		size_t n = byte % 16u + 1 < bytes->length - at ? byte % 16u + 1 : bytes->length - at;
		memmove(p + at, p + at + n, bytes->length - at - n);
		bytes->length -= n;
	} else { /* cut */
		bytes->length = at;
	}
}

/* Alters a layer as the choices say. True: it is another one now. */
static bool alter_layer(const struct making *making, enum layer layer, struct buf *bytes)
{
	struct bytes choices = making->alterations;
	cleanup_with(buf_done) struct buf before = {0};
	buf_put(&before, bytes->p, bytes->length);
	while (choices.left > 0) {
		unsigned where = choose(&choices, LAYERS), kind = choose(&choices, 5), place = choose_number(&choices);
		unsigned byte = choose(&choices, 256);
		if (where == layer)
			alter(bytes, kind, place, (uint8_t)byte);
	}
	CHECK(!bytes->failed && !before.failed);
	return before.length != bytes->length || (before.length && memcmp(before.p, bytes->p, before.length) != 0);
}

/* --- what the header says --- */

static void choose_claims(struct making *m)
{
	static const struct {
		const char *serializer, *format, *original_type;
	} fitting[DOCUMENT_FORMS] = {
		[GIVEN_MSGPACK] = {"default", "msgpack", "msgpack"}, [GIVEN_JSON] = {"orjson", "orjson", "orjson"},
		[GIVEN_ARROW] = {"arrow", "arrow", "arrow"}, [GIVEN_NUMPY] = {"auto", "msgpack", "numpy"},
		[MADE_MSGPACK] = {"auto", "msgpack", "msgpack"}, [MADE_ARROW] = {"auto", "arrow", "arrow"},
		[MADE_NUMPY] = {"AutoSerializer", "msgpack", "numpy"}, [MADE_DATAFRAME] = {"auto", "msgpack", "dataframe"},
		[MADE_SERIES] = {"auto", "msgpack", "series"}, [MADE_LONG] = {"default", "msgpack", "msgpack"},
	};
	const bool storage = m->envelope >= 2;
	const char *const serializers[] = {fitting[m->form].serializer, "default", "auto", "AutoSerializer", "orjson", "\\u00fc\\u0000", NO_MEMBER, ""};
	const char *const formats[] = {fitting[m->form].format, "msgpack", "orjson", "arrow", "pickle", NO_MEMBER};
	const char *const types[] = {fitting[m->form].original_type, NO_MEMBER, "msgpack", "numpy", "arrow", "orjson", "dataframe", "series", ""};
	const char *const flags[] = {storage ? "true" : "false", "true", "false", "\"yes\"", NO_MEMBER, "null"};
	const char *const sealed[] = {m->seal ? "true" : NO_MEMBER, "true", "false", "\"true\"", NO_MEMBER, "null"};
	static const char *const tenants[] = {"default", "acme", NO_MEMBER, "", "\\ud800"};
	static const char *const algorithms[] = {"AES-256-GCM", NO_MEMBER, "ChaCha20"};
	const char *const fingerprints[] = {m->claims.fitting_fingerprint, NO_MEMBER, "00112233445566778899aabbccddeeff", "AA"};
	m->claims.serializer = choose_of(&m->choices, serializers);
	m->claims.format = choose_of(&m->choices, formats);
	m->claims.original_type = choose_of(&m->choices, types);
	m->claims.compressed = choose_of(&m->choices, flags);
	m->claims.encrypted = choose_of(&m->choices, sealed);
	m->claims.tenant = choose_of(&m->choices, tenants);
	m->claims.algorithm = choose_of(&m->choices, algorithms);
	m->claims.fingerprint = choose_of(&m->choices, fingerprints);
	m->claims.bound_otherwise = choose(&m->choices, 4) != 0;
}

static const char *or_null(const char *text)
{
	return strcmp(text, NO_MEMBER) == 0 ? NULL : text;
}

static void put_member(struct buf *to, const char *name, const char *text)
{
	if (or_null(text))
		buf_printf(to, ", \"%s\": \"%s\"", name, text);
}

static void put_metadata(struct buf *to, const struct claims *c)
{
	buf_puts(to, "{\"encoding\": \"utf-8\"");
	put_member(to, "format", c->format);
	put_member(to, "original_type", c->original_type);
	if (or_null(c->compressed))
		buf_printf(to, ", \"compressed\": %s", c->compressed);
	if (or_null(c->encrypted)) {
		buf_printf(to, ", \"encrypted\": %s", c->encrypted);
		put_member(to, "tenant_id", c->tenant);
		put_member(to, "encryption_algorithm", c->algorithm);
		put_member(to, "key_fingerprint", c->fingerprint);
	}
	buf_puts(to, "}");
}

/* --- layers, from the inside --- */

static void make_document(struct making *m)
{
	static const enum document_kind kinds[DOCUMENT_FORMS] = {
		[GIVEN_MSGPACK] = DOCUMENT_MSGPACK, [GIVEN_JSON] = DOCUMENT_JSON, [GIVEN_ARROW] = DOCUMENT_ARROW, [GIVEN_NUMPY] = DOCUMENT_NUMPY,
		[MADE_MSGPACK] = DOCUMENT_MSGPACK, [MADE_ARROW] = DOCUMENT_ARROW, [MADE_NUMPY] = DOCUMENT_NUMPY,
		[MADE_DATAFRAME] = DOCUMENT_MSGPACK, [MADE_SERIES] = DOCUMENT_MSGPACK, [MADE_LONG] = DOCUMENT_MSGPACK,
	};
	struct buf *document = &m->value->document;
	const unsigned numbers[3] = {choose(&m->choices, 256), choose(&m->choices, 256), choose(&m->choices, 256)};
	m->value->kind = kinds[m->form];
	m->alterations = m->choices;
	if (m->form == MADE_MSGPACK)
		make_msgpack(document, &m->rest, 0);
	else if (m->form == MADE_ARROW)
		make_arrow(document, m->rest);
	else if (m->form == MADE_NUMPY)
		make_numpy(document, m->rest, numbers);
	else if (m->form == MADE_DATAFRAME || m->form == MADE_SERIES)
		make_columns(document, m->rest, numbers, m->form == MADE_SERIES);
	else if (m->form == MADE_LONG)
		make_long(document, m->rest, numbers[0] << 8 | numbers[1]);
	else
		buf_put(document, m->rest.p, m->rest.left);
	m->document_altered = alter_layer(m, LAYER_DOCUMENT, document);
}

static void put_envelope(struct making *m, struct buf *to)
{
	const struct buf *document = &m->value->document;
	const char *bytes = document->p ? document->p : "", *type = or_null(m->claims.original_type);
	if (m->envelope >= 2) {
		write_envelope(to, bytes, document->length, m->envelope - 2, type && *type ? type : "msgpack");
	} else {
		if (m->envelope == 1)
			write_prefix(to, bytes, document->length);
		buf_put(to, bytes, document->length);
	}
	m->envelope_altered = alter_layer(m, LAYER_ENVELOPE, to);
}

static const uint8_t *master_of(enum seal_form seal)
{
	static const char keys[SEAL_FORMS] = {[SEAL_CURRENT] = (char)0xa0, [SEAL_PREVIOUS] = (char)0xb1, [SEAL_UNKNOWN] = (char)0xc2};
	static uint8_t master[32];
	memset(master, keys[seal], sizeof master);
	return master;
}

/* An interop value's seal is bound to the bare key, all others to the key as it is stored. Without a frame, it alone tells whether there is an envelope. */
static void put_seal(struct making *m, struct buf *payload)
{
	const bool interop = m->value->interop, bare = interop || m->frame == STORE_BARE;
	const struct claims *c = &m->claims;
	cleanup_with(buf_done) struct buf key = {0}, sealed = {0};
	buf_puts(&key, !interop && (m->value->settings & SETTING_PREFIX) ? STORED_PREFIX : "");
	buf_puts(&key, m->value->key);
	buf_puts(&key, c->bound_otherwise ? "?" : "");
	const char *tenant = or_null(c->tenant);
	const struct seal seal = {
		.tenant = !interop && bare && m->value->bare_tenant ? m->value->bare_tenant : bare || !tenant ? "default" : tenant,
		.key = key.p,
		.key_length = key.length,
		.format = bare || !or_null(c->format) ? "msgpack" : c->format,
		.compressed = bare ? !interop && m->envelope >= 2 : strcmp(c->compressed, "true") == 0,
		.original_type = bare ? NULL : or_null(c->original_type),
	};
	write_seal(&sealed, master_of(m->seal), &seal, (uint8_t)m->rest.left, payload->p ? payload->p : "", payload->length);
	buf_done(payload);
	*payload = sealed;
	sealed = (struct buf){0};
}

static void put_frame(struct making *m, const struct buf *payload, struct buf *to)
{
	const struct claims *c = &m->claims;
	cleanup_with(buf_done) struct buf header = {0};
	if (m->frame == STORE_LEGACY) {
		buf_puts(to, "{\"data\": \"");
		write_base64(to, payload->p ? payload->p : "", payload->length);
		buf_puts(to, "\"");
		put_member(to, "serializer", c->serializer);
		buf_puts(to, ", \"metadata\": ");
		put_metadata(to, c);
		buf_puts(to, ", \"version\": \"2.0\"}");
		return;
	}
	if (m->frame != STORE_BARE) {
		buf_puts(&header, "{\"v\": \"2.0\"");
		put_member(&header, "s", c->serializer);
		buf_puts(&header, ", \"m\": ");
		put_metadata(&header, c);
		buf_printf(&header, "}%*s", m->frame == STORE_V3_ALIGNED ? 600 : 0, "");
		buf_put(to, "CK\x03", 3);
		buf_put(to, (const uint8_t[]){0, 0, (uint8_t)(header.length >> 8), (uint8_t)header.length}, 4);
		buf_put(to, header.p, header.length);
	}
	buf_put(to, payload->p, payload->length);
}

/* --- the whole of it --- */

/* Whether the header says of everything what it is; the nine choices were all 0. */
static bool claims_fit(struct bytes choices)
{
	bool fit = true;
	for (unsigned i = 0; i < 9; i++)
		fit &= choose(&choices, 256) == 0;
	return fit;
}

/* What is expected of it. */
static void judge(struct making *m, bool fits)
{
	/* Whoever alters more may find the checksum of something else. */
	enum { LITTLE = 3 * 5 };
	struct stored_value *v = m->value;
	const bool framed = m->frame != STORE_BARE && !v->interop;
	const bool opens = (m->seal == SEAL_CURRENT || m->seal == SEAL_PREVIOUS) && (v->settings & SETTING_KEYRING) && !(v->settings & SETTING_HASH);
	const bool enveloped = v->kind == DOCUMENT_MSGPACK ? m->envelope >= 2 : m->envelope == 1;
	const bool whole = fits && framed && enveloped && (opens || m->seal == SEAL_NONE) && !m->payload_altered && !m->value_altered;
	v->sealed = m->seal != SEAL_NONE;
	v->secret = v->sealed && framed && !m->value_altered && strcmp(m->claims.encrypted, "true") == 0 &&
		(!opens || m->claims.bound_otherwise || m->payload_altered);
	/* What other SDKs have sealed. */
	const bool declared = v->declared == DECLARED_MSGPACK || v->declared == DECLARED_TENANT;
	const bool bare = m->frame == STORE_BARE && !v->interop && declared && opens && v->kind == DOCUMENT_MSGPACK && m->envelope != 1 &&
		!m->claims.bound_otherwise && !m->payload_altered && !m->value_altered;
	v->sound = (whole || bare) && !m->document_altered && !m->envelope_altered;
	v->spoiled = whole && m->envelope_altered && m->alterations.left <= LITTLE && !(v->settings & SETTING_VERIFY_NEVER);
}

void stored_value_make(struct bytes choices, struct bytes rest, struct stored_value *ret)
{
	static const char *const keys[] = {"key", "users:get:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "k\"\\\n\xff/%"};
	cleanup_with(buf_done) struct buf payload = {0};
	*ret = (struct stored_value){.settings = choose(&choices, 256)};
	struct making m = {.value = ret, .rest = rest};
	unsigned key = choose(&choices, (unsigned)KEY_KINDS * (unsigned)DECLARATIONS);
	ret->declared = key / KEY_KINDS;
	ret->bare_tenant = ret->declared == DECLARED_TENANT ? "acme" : ret->declared == DECLARED_CK_RUN ? "ck-run" : NULL;
	key %= KEY_KINDS;
	ret->key = keys[key];
	ret->interop = key == KEY_INTEROP;
	m.frame = choose(&choices, FRAME_FORMS);
	m.seal = choose(&choices, SEAL_FORMS);
	unsigned envelope = choose(&choices, 3 + ENVELOPE_FORMS);
	m.form = choose(&choices, DOCUMENT_FORMS);
	const bool is_msgpack = m.form == GIVEN_MSGPACK || (m.form >= MADE_MSGPACK && m.form != MADE_ARROW && m.form != MADE_NUMPY);
	const unsigned fitting = m.frame == STORE_BARE || ret->interop ? 0 : is_msgpack ? 2 : 1;
	m.envelope = envelope == 0 ? fitting : envelope - 1;
	bool fits = claims_fit(choices);
	m.choices = choices;
	/* The tenant that fits is the first: its key's fingerprint is what the header is to say. */
	write_fingerprint(master_of(m.seal ? m.seal : SEAL_CURRENT), "default", m.claims.fitting_fingerprint);
	choose_claims(&m);
	make_document(&m);
	put_envelope(&m, &payload);
	if (m.seal)
		put_seal(&m, &payload);
	m.payload_altered = alter_layer(&m, LAYER_PAYLOAD, &payload);
	put_frame(&m, &payload, &ret->value);
	m.value_altered = alter_layer(&m, LAYER_VALUE, &ret->value);
	judge(&m, fits);
	CHECK(!ret->value.failed && !ret->document.failed && !payload.failed);
}

void stored_value_done(struct stored_value *value)
{
	buf_done(&value->value);
	buf_done(&value->document);
}
