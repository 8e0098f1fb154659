/*
 * MessagePack as JSON: msgpack-c's callback parser calls what writes, so there is no tree.
 *
 * The parser tells when a value comes and when a container begins, but not when a map's key ends nor when a container does:
 * that is counted here. A key that is no string is the JSON text of itself in a string: then all goes through a quoter.
 */
#include "ckfs/cleanup.h"
#include "ckfs/msgpack.h"
#include "json_sinks.h"

#include <errno.h>
#include <math.h>

/* A container that is being written. */
struct level {
	uint64_t left; /* values still to come: elements, or keys and values */
	char end;      /* what ends it: for the document itself, a newline */
	bool map;
	bool quoted; /* the key being written is no string */
};

struct writer {
	struct meter meter;
	struct sink *sink; /* the meter's, or the quoter's */
	struct level *level;
	const uint8_t *end; /* of the document */
	const char *reason;
	struct quoter quoter;
	struct level levels[1 + MSGPACK_LEVELS];
};

/* Every value that is no string begins with this. */
static inline int begin_value(struct writer *w)
{
	struct level *level = w->level;
	if (!level->map || (level->left & 1))
		return 0;
	level->quoted = true;
	w->sink = &w->quoter.sink;
	return quoter_open(&w->quoter);
}

static int end_key(struct writer *w)
{
	if (w->level->quoted) {
		int r = quoter_close(&w->quoter);
		if (r < 0)
			return r;
		w->level->quoted = false;
		if (w->quoter.depth == 0)
			w->sink = &w->meter.sink;
	}
	return json_write_char(w->sink, ':');
}

/* Every value ends with this: what comes behind it is written, the ends of all containers that it completes among it. */
static inline int end_value(struct writer *w)
{
	while (--w->level->left == 0) {
		int r = json_write_char(w->sink, w->level->end);
		if (r < 0 || w->level == w->levels)
			return r;
		w->level--;
	}
	return w->level->map && (w->level->left & 1) ? end_key(w) : json_write_char(w->sink, ',');
}

static int begin_container(struct writer *w, uint64_t values, bool map)
{
	int r = begin_value(w);
	if (r == 0)
		r = json_write_char(w->sink, map ? '{' : '[');
	if (r < 0)
		return r;
	if (values > 0) {
		*++w->level = (struct level){.left = values, .end = map ? '}' : ']', .map = map};
		return 0;
	}
	r = json_write_char(w->sink, map ? '}' : ']');
	return r < 0 ? r : end_value(w);
}

static inline int write_text(struct writer *w, const char *text)
{
	int r = begin_value(w);
	if (r == 0)
		r = json_write_bytes(w->sink, text, strlen(text));
	return r < 0 ? r : end_value(w);
}

static inline int write_u64(struct writer *w, uint64_t value)
{
	int r = begin_value(w);
	if (r == 0)
		r = json_write_u64(w->sink, value);
	return r < 0 ? r : end_value(w);
}

static inline int write_i64(struct writer *w, int64_t value)
{
	int r = begin_value(w);
	if (r == 0)
		r = json_write_i64(w->sink, value);
	return r < 0 ? r : end_value(w);
}

static inline int write_double(struct writer *w, double value)
{
	if (isnan(value))
		return write_text(w, "{\"$float\":\"NaN\"}");
	if (isinf(value))
		return write_text(w, value > 0 ? "{\"$float\":\"Infinity\"}" : "{\"$float\":\"-Infinity\"}");
	int r = begin_value(w);
	if (r == 0)
		r = json_write_double(w->sink, value);
	return r < 0 ? r : end_value(w);
}

static inline int write_string(struct writer *w, const uint8_t *p, size_t n)
{
	int r = json_write_string(w->sink, p, n, (size_t)(w->end - p));
	if (r == -EUCLEAN)
		w->reason = "a string is not UTF-8";
	return r < 0 ? r : end_value(w);
}

static int write_bin(struct writer *w, const uint8_t *p, size_t n)
{
	int r = begin_value(w);
	if (r == 0)
		r = json_write_bytes(w->sink, "{\"$base64\":", 11);
	if (r == 0)
		r = json_write_base64(w->sink, p, n);
	if (r == 0)
		r = json_write_char(w->sink, '}');
	return r < 0 ? r : end_value(w);
}

/* Its type stands before its bytes. */
static int write_ext(struct writer *w, const uint8_t *p, size_t n)
{
	if (n == 0) /* msgpack-c adds the type to a length of 32 bits */
		return -EUCLEAN;
	int r = begin_value(w);
	if (r == 0)
		r = json_write_bytes(w->sink, "{\"$ext\":[", 9);
	if (r == 0)
		r = json_write_i64(w->sink, (int8_t)p[0]);
	if (r == 0)
		r = json_write_char(w->sink, ',');
	if (r == 0)
		r = json_write_base64(w->sink, p + 1, n - 1);
	if (r == 0)
		r = json_write_bytes(w->sink, "]}", 2);
	return r < 0 ? r : end_value(w);
}

/*
 * What msgpack-c's template asks for: its own result codes, and a callback for each kind of value. The object that it would
 * have made of a value is nothing here. A string, bin or ext comes where it lies; an empty string with a pointer that may be NULL.
 */
#define MSGPACK_EMBED_STACK_SIZE MSGPACK_LEVELS
#define MSGPACK_UNPACK_PARSE_ERROR (-EUCLEAN)
#define MSGPACK_UNPACK_NOMEM_ERROR (-EUCLEAN) /* too deep */

#define msgpack_unpack_struct(name) struct parser##name
#define msgpack_unpack_func(type, name) static inline type parser##name
#define msgpack_unpack_callback(name) on##name
#define msgpack_unpack_object char
#define msgpack_unpack_user struct writer

#define ON_VALUE(name, write, parameter_type) \
	static inline int on_##name(struct writer *w, parameter_type value, char *made) \
	{ \
		*made = 0; \
		return write(w, value); \
	}
#define ON_LITERAL(name, text) \
	static inline int on_##name(struct writer *w, char *made) \
	{ \
		*made = 0; \
		return write_text(w, text); \
	}
#define ON_BYTES(name, write) \
	static inline int on_##name(struct writer *w, const char *base, const char *p, unsigned n, char *made) \
	{ \
		(void)base; \
		*made = 0; \
		return write(w, n ? (const uint8_t *)p : w->end, n); \
	}

static int write_array(struct writer *w, unsigned n)
{
	return begin_container(w, n, false);
}

static int write_map(struct writer *w, unsigned n)
{
	return begin_container(w, 2 * (uint64_t)n, true);
}

ON_LITERAL(nil, "null")
ON_LITERAL(false, "false")
ON_LITERAL(true, "true")
ON_VALUE(uint8, write_u64, uint8_t)
ON_VALUE(uint16, write_u64, uint16_t)
ON_VALUE(uint32, write_u64, uint32_t)
ON_VALUE(uint64, write_u64, uint64_t)
ON_VALUE(int8, write_i64, int8_t)
ON_VALUE(int16, write_i64, int16_t)
ON_VALUE(int32, write_i64, int32_t)
ON_VALUE(int64, write_i64, int64_t)
ON_VALUE(float, write_double, float)
ON_VALUE(double, write_double, double)
ON_BYTES(str, write_string)
ON_BYTES(bin, write_bin)
ON_BYTES(ext, write_ext)
ON_VALUE(array, write_array, unsigned)
ON_VALUE(map, write_map, unsigned)

static inline char on_root(const struct writer *w)
{
	(void)w;
	return 0;
}

static inline int on_array_item(const struct writer *w, const char *array, char element)
{
	(void)w, (void)array, (void)element;
	return 0;
}

static inline int on_map_item(const struct writer *w, const char *map, char key, char value)
{
	(void)w, (void)map, (void)key, (void)value;
	return 0;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#include <msgpack/unpack_define.h>
#include <msgpack/unpack_template.h>
#pragma GCC diagnostic pop

static void writer_init(struct writer *w, const uint8_t *end, struct sink *sink, const atomic_bool *cancel)
{
	meter_init(&w->meter, sink, cancel);
	quoter_init(&w->quoter, &w->meter);
	w->sink = &w->meter.sink;
	w->end = end;
	w->reason = NULL;
	w->level = w->levels;
	w->levels[0] = (struct level){.left = 1, .end = '\n'};
}

int msgpack_to_json(const uint8_t *document, size_t n, struct sink *sink, const atomic_bool *cancel, const char **ret_reason)
{
	cleanup_free struct parser_context *parser = malloc(sizeof *parser);
	if (!parser)
		return -ENOMEM;
	struct writer *w = &parser->user;
	writer_init(w, document + n, sink, cancel);
	parser_init(parser);
	size_t at = 0;
	int r = parser_execute(parser, (const char *)document, n, &at);
	if (r >= 0)
		r = r == 1 && at == n ? meter_flush(&w->meter) : -EUCLEAN;
	if (r == -EUCLEAN)
		*ret_reason = w->reason ? w->reason : "not one whole MessagePack document";
	if (r == -EFBIG && w->meter.too_long)
		*ret_reason = JSON_TOO_LONG;
	return r;
}
