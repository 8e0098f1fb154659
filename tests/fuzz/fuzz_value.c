/*
 * A stored value shows the same whoever looks first, however it was found, and however often: by each view, its attributes and listings.
 *
 * Also: st_size is what is read; an error is one of the entry, with the same reason; what a look left unfinished harms nobody; meta/ is JSON;
 * the JSON of a document that is shown is the JSON it has when it is stored bare; a seal that does not open shows nothing, nor does what was altered
 * behind its checksum; and what was not altered shows the document that was put in.
 *
 * Input: a byte that says how many choices there are, these (stored.h), then bytes for the document.
 */
#include "choices.h"
#include "fuzz.h"
#include "peeled.h"

#include "ckfs/cleanup.h"
#include "ckfs/json_scan.h"
#include "ckfs/msgpack.h"

#include <sodium.h>
#include <string.h>

static bool same_bytes(const struct buf *a, const struct buf *b)
{
	return a->length == b->length && (a->length == 0 || memcmp(a->p, b->p, a->length) == 0);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same(const struct peeled *a, const struct peeled *b)
{
	for (unsigned i = 0; i < VIEW_META; i++) {
		const struct shown *one = &a->views[i], *other = &b->views[i];
		CHECK(one->lookup == other->lookup && one->open == other->open && same_text(one->reason, other->reason));
		CHECK(one->size == other->size && same_bytes(&one->bytes, &other->bytes));
	}
	CHECK(same_bytes(&a->attributes, &b->attributes));
	CHECK(same_bytes(&a->meta, &b->meta));
}

static bool is_json(const struct buf *text, enum json_dialect dialect)
{
	struct json_scan scan;
	json_scan_init(&scan, dialect, NULL, NULL);
	return json_scan_feed(&scan, text->p ? text->p : "", text->length) == 0 && json_scan_end(&scan) == 0;
}

static bool is_msgpack(const struct buf *bytes)
{
	const char *reason;
	return msgpack_walk((const uint8_t *)bytes->p, bytes->length, NULL, &reason) == 0;
}

/* What every value shows. */
static void check_shown(const struct stored_value *value, const struct peeled *p)
{
	const struct shown *v = p->views;
	CHECK(v[VIEW_FRAME].open == 0 && same_bytes(&v[VIEW_FRAME].bytes, &value->value));
	CHECK(v[VIEW_ROOT].open == v[VIEW_RAW].open && same_bytes(&v[VIEW_ROOT].bytes, &v[VIEW_RAW].bytes));
	CHECK(v[VIEW_META].open == 0 && is_json(&v[VIEW_META].bytes, JSON_STRICT) && is_json(&p->meta, JSON_STRICT));
	CHECK(p->meta.p[p->meta.length - 1] == '\n');
	CHECK(v[VIEW_ARROW].open < 0 || (v[VIEW_ARROW].bytes.length >= 6 && memcmp(v[VIEW_ARROW].bytes.p, "ARROW1", 6) == 0));
	CHECK(v[VIEW_NPY].open < 0 || memcmp(v[VIEW_NPY].bytes.p, "\x93NUMPY\x01", 7) == 0);
	CHECK(v[VIEW_MSGPACK].open < 0 || is_msgpack(&v[VIEW_MSGPACK].bytes));
	CHECK(v[VIEW_JSON].open < 0 || is_json(&v[VIEW_JSON].bytes, JSON_ORJSON));
	/* One kind of document, or none. */
	CHECK((v[VIEW_ARROW].open == 0) + (v[VIEW_NPY].open == 0) + (v[VIEW_MSGPACK].open == 0 || v[VIEW_JSON].open == 0) <= 1);
}

/* Whether some view shows a document. */
static bool shows_document(const struct peeled *p)
{
	return p->views[VIEW_ARROW].open == 0 || p->views[VIEW_NPY].open == 0 || p->views[VIEW_MSGPACK].open == 0 || p->views[VIEW_JSON].open == 0;
}

static void check_sound(const struct stored_value *value, const struct peeled *p)
{
	const struct buf *d = &value->document;
	const struct shown *v = p->views;
	if (value->kind == DOCUMENT_ARROW) {
		bool arrow = d->length >= 6 && memcmp(d->p, "ARROW1", 6) == 0;
		CHECK(!arrow || (v[VIEW_ARROW].open == 0 && same_bytes(&v[VIEW_ARROW].bytes, d)));
	} else if (value->kind == DOCUMENT_JSON) {
		CHECK(is_json(d, JSON_ORJSON) ? v[VIEW_JSON].open == 0 && same_bytes(&v[VIEW_JSON].bytes, d) : v[VIEW_JSON].open < 0);
	} else if (value->kind == DOCUMENT_MSGPACK) {
		CHECK(is_msgpack(d) ? v[VIEW_MSGPACK].open == 0 && same_bytes(&v[VIEW_MSGPACK].bytes, d) : v[VIEW_MSGPACK].open < 0);
	} else if (v[VIEW_NPY].open == 0) {
		/* The array is the end of both. */
		const size_t n = v[VIEW_NPY].bytes.length % 64;
		CHECK(d->length >= n && (n == 0 || memcmp(v[VIEW_NPY].bytes.p + v[VIEW_NPY].bytes.length - n, d->p + d->length - n, n) == 0));
	}
}

/* What is read as if it had no checksum at all shows the whole payload. */
static bool is_whole_payload(const struct stored_value *value, const struct peeled *p, const struct buf *shown)
{
	const struct buf *payload = &p->views[VIEW_RAW].bytes;
	return value->sealed ? shown->length + SEAL_OVERHEAD == payload->length : same_bytes(shown, payload);
}

static void check_spoiled(const struct stored_value *value, const struct peeled *p)
{
	const struct shown *v = p->views;
	for (unsigned i = VIEW_ARROW; i <= VIEW_MSGPACK; i++)
		CHECK(v[i].open < 0 || i == VIEW_NPY || same_bytes(&v[i].bytes, &value->document) || is_whole_payload(value, p, &v[i].bytes));
	CHECK(v[VIEW_JSON].open < 0 || value->kind != DOCUMENT_JSON || is_whole_payload(value, p, &v[VIEW_JSON].bytes));
	CHECK(v[VIEW_NPY].open < 0 || (v[VIEW_RAW].bytes.length >= 9 && memcmp(v[VIEW_RAW].bytes.p, "NUMPY_RAW", 9) == 0));
}

/* A document that is shown, stored as an interop value: the same document, with the same JSON. */
static void check_again(const struct peeled *p)
{
	const struct shown *msgpack = &p->views[VIEW_MSGPACK], *json = &p->views[VIEW_JSON];
	struct peeled again;
	struct stored_value bare;
	if (msgpack->open < 0)
		return;
	const struct bytes rest = bytes_of(msgpack->bytes.p, msgpack->bytes.length);
	stored_value_make(bytes_of((const uint8_t[]){0, KEY_INTEROP}, 2), rest, &bare);
	struct cache_of_one *cache = cache_of_one_new(&bare, false);
	cache_of_one_peel(cache, 0, &again);
	if (msgpack->bytes.length >= 2 && memcmp(msgpack->bytes.p, "CK", 2) == 0) {
		CHECK(again.views[VIEW_MSGPACK].open < 0);
	} else {
		CHECK(again.views[VIEW_MSGPACK].open == 0 && same_bytes(&again.views[VIEW_MSGPACK].bytes, &msgpack->bytes));
		CHECK(again.views[VIEW_JSON].open == json->open && same_bytes(&again.views[VIEW_JSON].bytes, &json->bytes));
	}
	peeled_done(&again);
	cache_of_one_free(cache);
	stored_value_done(&bare);
}

static void check_value(const struct stored_value *value)
{
	struct peeled first, second, other;
	struct cache_of_one *cache = cache_of_one_new(value, value->settings & SETTING_REMOTE);
	if (value->settings & SETTING_INTERRUPT)
		cache_of_one_interrupt(cache);
	cache_of_one_peel(cache, 0, &first);
	cache_of_one_peel(cache, 0, &second);
	check_shown(value, &first);
	check_same(&first, &second);
	cache_of_one_list(cache, &first);
	cache_of_one_free(cache);
	peeled_done(&second);

	/* Another mount, which is asked in another order, and lists first. */
	cache = cache_of_one_new(value, false);
	cache_of_one_list(cache, &first);
	cache_of_one_peel(cache, 1 + (unsigned)(value->value.length % (VIEW_COUNT - 1)), &other);
	check_same(&first, &other);
	cache_of_one_free(cache);
	peeled_done(&other);

	CHECK(!value->secret || !shows_document(&first));
	if (value->sound)
		check_sound(value, &first);
	if (value->spoiled)
		check_spoiled(value, &first);
	check_again(&first);
	peeled_done(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_of(data, size);
	struct stored_value value;
	const uint8_t *choices = (const uint8_t *)"";
	uint8_t n = 0;
	CHECK(sodium_init() >= 0);
	(void)bytes_u8(&b, &n);
	if (!bytes_take(&b, n, &choices))
		(void)bytes_take(&b, n = (uint8_t)b.left, &choices);
	stored_value_make(bytes_of(choices, n), b, &value);
	check_value(&value);
	stored_value_done(&value);
	return 0;
}
