#include "arrow_type.h"

#include <stdarg.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Types within types. pyarrow reads no more than 64 levels. */
#define LEVELS_MAX 64

enum kind {
	NULL_TYPE = 1,
	INT,
	FLOAT,
	BINARY,
	UTF8,
	BOOL,
	DECIMAL,
	DATE,
	TIME,
	TIMESTAMP,
	INTERVAL,
	LIST,
	STRUCT,
	UNION,
	FIXED_SIZE_BINARY,
	FIXED_SIZE_LIST,
	MAP,
	DURATION,
	LARGE_BINARY,
	LARGE_UTF8,
	LARGE_LIST,
	RUN_END_ENCODED,
	BINARY_VIEW,
	UTF8_VIEW,
	LIST_VIEW,
	LARGE_LIST_VIEW,
};

/* The kinds whose names say all, or what stands before the rest. */
static const char *const names[] = {
	[NULL_TYPE] = "null",
	[BINARY] = "binary",
	[UTF8] = "string",
	[BOOL] = "bool",
	[LIST] = "list",
	[STRUCT] = "struct",
	[FIXED_SIZE_LIST] = "fixed_size_list",
	[LARGE_BINARY] = "large_binary",
	[LARGE_UTF8] = "large_string",
	[LARGE_LIST] = "large_list",
	[BINARY_VIEW] = "binary_view",
	[UTF8_VIEW] = "string_view",
	[LIST_VIEW] = "list_view",
	[LARGE_LIST_VIEW] = "large_list_view",
};

/* The text, which ends at ARROW_TYPE_MAX whatever is still to be written: so all of it, also of a type that is in itself a thousand times, takes little time. */
struct text {
	struct buf *buf;
	size_t left;
	bool cut;
};

static void put(struct text *text, const void *bytes, size_t n)
{
	text->cut = text->cut || n > text->left;
	n = n < text->left ? n : text->left;
	buf_put(text->buf, bytes, n);
	text->left -= n;
}

/* A short one. */
static __attribute__((format(printf, 2, 3))) void print(struct text *text, const char *format, ...)
{
	char part[100];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(part, sizeof part, format, args);
	va_end(args);
	put(text, part, n > 0 ? (size_t)n : 0);
}

static const char *name_of(const char *const *list, size_t count, int64_t i)
{
	return i >= 0 && (uint64_t)i < count && list[i] ? list[i] : "?";
}

static const char *unit_name(int64_t unit)
{
	static const char *const units[] = {"s", "ms", "us", "ns"};
	return name_of(units, COUNT(units), unit);
}

static void put_int(struct text *text, const struct flat_table *type)
{
	print(text, "%sint%d", flat_number(type, 1, 1, 0) ? "" : "u", (int)flat_number(type, 0, 4, 0));
}

static void put_timestamp(struct text *text, const struct flat_table *type)
{
	uint32_t n;
	print(text, "timestamp[%s", unit_name(flat_number(type, 0, 2, 0)));
	const char *zone = flat_text(type, 1, ARROW_TYPE_MAX, &n);
	if (zone && n > 0) {
		print(text, ", tz=");
		put(text, zone, n);
	}
	print(text, "]");
}

/* Types that hold no others. */
static void put_plain(struct text *text, int64_t kind, const struct flat_table *type)
{
	static const char *const floats[] = {"halffloat", "float", "double"}, *const dates[] = {"date32[day]", "date64[ms]"},
		*const intervals[] = {"month_interval", "day_time_interval", "month_day_nano_interval"};
	switch (kind) {
	case INT:
		put_int(text, type);
		break;
	case FLOAT:
		print(text, "%s", name_of(floats, COUNT(floats), flat_number(type, 0, 2, 0)));
		break;
	case DECIMAL:
		print(text, "decimal%d(%d, %d)", (int)flat_number(type, 2, 4, 128), (int)flat_number(type, 0, 4, 0), (int)flat_number(type, 1, 4, 0));
		break;
	case DATE:
		print(text, "%s", name_of(dates, COUNT(dates), flat_number(type, 0, 2, 1)));
		break;
	case TIME:
		print(text, "time%d[%s]", (int)flat_number(type, 1, 4, 32), unit_name(flat_number(type, 0, 2, 1)));
		break;
	case TIMESTAMP:
		put_timestamp(text, type);
		break;
	case INTERVAL:
		print(text, "%s", name_of(intervals, COUNT(intervals), flat_number(type, 0, 2, 0)));
		break;
	case FIXED_SIZE_BINARY:
		print(text, "fixed_size_binary[%d]", (int)flat_number(type, 0, 4, 0));
		break;
	case DURATION:
		print(text, "duration[%s]", unit_name(flat_number(type, 0, 2, 1)));
		break;
	default:
		if (kind >= 0 && (uint64_t)kind < COUNT(names) && names[kind])
			print(text, "%s", names[kind]);
		else
			print(text, "type %d", (int)kind);
	}
}

static void put_type(struct text *text, const struct flat_table *field, unsigned level);

static void put_name(struct text *text, const struct flat_table *field)
{
	uint32_t n;
	const char *name = flat_text(field, FIELD_NAME, UINT32_MAX, &n);
	if (name)
		put(text, name, n);
}

/* A field within a type. */
static void put_field(struct text *text, const struct flat_table *field, unsigned level)
{
	put_name(text, field);
	print(text, ": ");
	put_type(text, field, level);
	if (!flat_number(field, FIELD_NULLABLE, 1, 0))
		print(text, " not null");
}

/* One of those that a type has to have. */
static struct flat_table child_of(const struct flat_table *field, uint32_t i)
{
	const struct flat_vector children = flat_vector(field, FIELD_CHILDREN, 4);
	if (i < children.count)
		return flat_vector_table(&children, i);
	if (field->flat)
		field->flat->bad = true;
	return (struct flat_table){.flat = NULL};
}

static void put_list(struct text *text, int64_t kind, const struct flat_table *field, const struct flat_table *type, unsigned level)
{
	const struct flat_table item = child_of(field, 0);
	print(text, "%s<", names[kind]);
	put_field(text, &item, level);
	print(text, ">");
	if (kind == FIXED_SIZE_LIST)
		print(text, "[%d]", (int)flat_number(type, 0, 4, 0));
}

static void put_map(struct text *text, const struct flat_table *field, const struct flat_table *type, unsigned level)
{
	const struct flat_table entries = child_of(field, 0), key = child_of(&entries, 0), value = child_of(&entries, 1);
	print(text, "map<");
	put_type(text, &key, level);
	print(text, ", ");
	put_type(text, &value, level);
	if (flat_number(type, 0, 1, 0))
		print(text, ", keys_sorted");
	print(text, ">");
}

static void put_run_ends(struct text *text, const struct flat_table *field, unsigned level)
{
	const struct flat_table ends = child_of(field, 0), values = child_of(field, 1);
	print(text, "run_end_encoded<run_ends: ");
	put_type(text, &ends, level);
	print(text, ", values: ");
	put_type(text, &values, level);
	print(text, ">");
}

/* A struct, or a union, whose members have numbers as well. */
static void put_members(struct text *text, int64_t kind, const struct flat_table *field, const struct flat_table *type, unsigned level)
{
	const struct flat_vector children = flat_vector(field, FIELD_CHILDREN, 4), ids = flat_vector(type, 1, 4);
	const char *name = kind == STRUCT ? "struct" : flat_number(type, 0, 2, 0) ? "dense_union" : "sparse_union";
	print(text, "%s<", name);
	for (uint32_t i = 0; i < children.count && !text->cut; i++) {
		const struct flat_table child = flat_vector_table(&children, i);
		print(text, "%s", i > 0 ? ", " : "");
		put_field(text, &child, level);
		if (kind == UNION)
			print(text, "=%d", i < ids.count ? (int)flat_vector_number(&ids, i, 0, 4) : (int)i);
	}
	print(text, ">");
}

/* A type, whether it is stored by a dictionary or not. */
static void put_stored(struct text *text, const struct flat_table *field, unsigned level)
{
	const int64_t kind = flat_number(field, FIELD_TYPE_KIND, 1, 0);
	const struct flat_table type = flat_table(field, FIELD_TYPE);
	switch (kind) {
	case LIST:
	case FIXED_SIZE_LIST:
	case LARGE_LIST:
	case LIST_VIEW:
	case LARGE_LIST_VIEW:
		put_list(text, kind, field, &type, level);
		break;
	case STRUCT:
	case UNION:
		put_members(text, kind, field, &type, level);
		break;
	case MAP:
		put_map(text, field, &type, level);
		break;
	case RUN_END_ENCODED:
		put_run_ends(text, field, level);
		break;
	default:
		put_plain(text, kind, &type);
	}
}

static void put_type(struct text *text, const struct flat_table *field, unsigned level)
{
	const struct flat_table dictionary = flat_table(field, FIELD_DICTIONARY);
	if (level == LEVELS_MAX) {
		text->cut = true;
		text->left = 0;
	}
	if (text->cut)
		return;
	if (!dictionary.flat) {
		put_stored(text, field, level + 1);
		return;
	}
	const struct flat_table indices = flat_table(&dictionary, 1);
	print(text, "dictionary<values=");
	put_stored(text, field, level + 1);
	print(text, ", indices=");
	if (indices.flat)
		put_int(text, &indices);
	else
		print(text, "int32");
	print(text, ", ordered=%d>", flat_number(&dictionary, 2, 1, 0) ? 1 : 0);
}

void arrow_type_write(const struct flat_table *field, struct buf *buf)
{
	struct text text = {.buf = buf, .left = ARROW_TYPE_MAX};
	put_type(&text, field, 0);
	if (text.cut)
		buf_puts(buf, "...");
}
