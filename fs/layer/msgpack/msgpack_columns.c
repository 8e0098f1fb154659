/*
 * What the SDK's columnar documents hold:
 *
 *   dataframe   {"columns": [name…], "index": [value…] | nil, "data": {name: column…}}
 *   series      {"name": name, "index": [value…] | nil} and the members of its column
 *   column      {"type": "numeric", "data": bin, "dtype": str} | {"type": "object", "data": [value…]}
 *
 * Of a name that a map holds twice the last counts, as in Python. Time is linear in the document, whatever it holds: what is compared or read
 * more than once, a name or a dtype, is short.
 */
#include "ckfs/cleanup.h"
#include "ckfs/msgpack.h"
#include "ckfs/numpy.h"
#include "msgpack_head.h"

#include <errno.h>
#include <inttypes.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define UNKNOWN_ROWS UINT64_MAX

/* A longer name or dtype is not shown, nor is anything of the column. */
#define TEXT_MAX 4096

/* The same of a name that is still to be read: any value may be one. */
#define NAME_MAX_SIZE (TEXT_MAX + MSGPACK_HEAD_MAX)

/* One value of the document, head and all. n is 0: there is none. */
struct value {
	const uint8_t *p;
	size_t n;
};

struct column_info {
	struct value type, data, dtype;
};

struct column {
	struct value name;
	size_t place; /* among the columns shown */
	struct column_info info;
};

static bool is_cancelled(const atomic_bool *cancel)
{
	return cancel && atomic_load_explicit(cancel, memory_order_relaxed);
}

/* Moves past one value. False when *cancel became true, else only on what msgpack_walk() would not have passed. */
static bool value_take(struct bytes *b, const atomic_bool *cancel, struct value *ret)
{
	struct msgpack_head head;
	struct bytes rest = *b;
	const uint8_t *p;
	for (uint64_t left = 1; left > 0; left--) {
		if (is_cancelled(cancel) || !msgpack_head_read(&rest, &head))
			return false;
		if (head.kind == MSGPACK_ARRAY || head.kind == MSGPACK_MAP)
			left += head.kind == MSGPACK_MAP ? 2 * head.value : head.value;
		else if (head.kind == MSGPACK_STR || head.kind == MSGPACK_BIN || head.kind == MSGPACK_EXT)
			if (!bytes_take(&rest, (size_t)head.value, &p))
				return false;
	}
	*ret = (struct value){.p = b->p, .n = b->left - rest.left};
	*b = rest;
	return true;
}

/* The value's head when it is of this kind, and what is behind it. */
static bool value_open(const struct value *value, enum msgpack_kind kind, uint64_t *ret, struct bytes *ret_inside)
{
	struct bytes b = bytes_of(value->p, value->n);
	struct msgpack_head head;
	if (!msgpack_head_read(&b, &head) || head.kind != kind)
		return false;
	*ret = head.value;
	*ret_inside = b;
	return true;
}

static bool value_is_kind(const struct value *value, enum msgpack_kind kind)
{
	return value->n > 0 && msgpack_marks[value->p[0]].kind == kind;
}

static bool value_is_text(const struct value *value, const char *text)
{
	uint64_t n;
	struct bytes inside;
	return value_open(value, MSGPACK_STR, &n, &inside) && n == strlen(text) && memcmp(inside.p, text, (size_t)n) == 0;
}

/* A member of a map that is wanted, by its name. */
struct wanted {
	const char *name;
	struct value value;
};

static bool map_find(const struct value *map, const atomic_bool *cancel, struct wanted *wanted, size_t count)
{
	uint64_t pairs;
	struct bytes inside;
	struct value name, value;
	if (!value_open(map, MSGPACK_MAP, &pairs, &inside))
		return false;
	for (; pairs > 0; pairs--) {
		if (!value_take(&inside, cancel, &name) || !value_take(&inside, cancel, &value))
			return false;
		for (size_t i = 0; i < count; i++)
			if (value_is_text(&name, wanted[i].name))
				wanted[i].value = value;
	}
	return true;
}

static bool info_read(const struct value *map, const atomic_bool *cancel, struct column_info *ret)
{
	struct wanted members[] = {{.name = "type"}, {.name = "data"}, {.name = "dtype"}};
	if (!map_find(map, cancel, members, COUNT(members)))
		return false;
	*ret = (struct column_info){.type = members[0].value, .data = members[1].value, .dtype = members[2].value};
	return true;
}

static uint64_t info_rows(const struct column_info *info)
{
	uint64_t length, n;
	struct bytes inside, dtype;
	struct ndarray array = {0};
	if (value_is_text(&info->type, "object"))
		return value_open(&info->data, MSGPACK_ARRAY, &n, &inside) ? n : UNKNOWN_ROWS;
	if (!value_is_text(&info->type, "numeric") || !value_open(&info->data, MSGPACK_BIN, &length, &inside) ||
	    !value_open(&info->dtype, MSGPACK_STR, &n, &dtype))
		return UNKNOWN_ROWS;
	if (n > TEXT_MAX)
		return UNKNOWN_ROWS;
	if (numpy_descr((const char *)dtype.p, (size_t)n, &array) < 0 || array.itemsize == 0 || length % array.itemsize != 0)
		return UNKNOWN_ROWS;
	return length / array.itemsize;
}

static void text_write(const void *text, uint64_t n, struct buf *buf)
{
	if (n <= TEXT_MAX)
		buf_json_string(buf, text, (size_t)n);
	else
		buf_puts(buf, "null");
}

/* A name as JSON: texts and what JSON has plainly; a tuple, a time and the like are null. */
static void name_write(const struct value *name, struct buf *buf)
{
	struct bytes b = bytes_of(name->p, name->n);
	struct msgpack_head head;
	if (!msgpack_head_read(&b, &head))
		head.kind = MSGPACK_NIL;
	switch (head.kind) {
	case MSGPACK_STR:
		text_write(b.p, b.left, buf);
		break;
	case MSGPACK_BOOL:
		buf_puts(buf, head.value ? "true" : "false");
		break;
	case MSGPACK_UINT:
		buf_printf(buf, "%" PRIu64, head.value);
		break;
	case MSGPACK_INT:
		buf_printf(buf, "%" PRId64, (int64_t)head.value);
		break;
	default:
		buf_puts(buf, "null");
	}
}

static void column_write(const struct column *column, struct buf *buf)
{
	uint64_t n;
	struct bytes dtype;
	buf_puts(buf, "{\"name\": ");
	name_write(&column->name, buf);
	if (value_is_text(&column->info.type, "object")) {
		buf_puts(buf, ", \"type\": \"object\"}");
		return;
	}
	bool numeric = value_is_text(&column->info.type, "numeric");
	buf_puts(buf, numeric ? ", \"type\": \"numeric\", \"dtype\": " : ", \"type\": null");
	if (numeric && value_open(&column->info.dtype, MSGPACK_STR, &n, &dtype))
		text_write(dtype.p, n, buf);
	else if (numeric)
		buf_puts(buf, "null");
	buf_puts(buf, "}");
}

static void description_write(uint64_t rows, const struct column *columns, size_t shown, uint64_t total, struct buf *buf)
{
	if (rows == UNKNOWN_ROWS)
		buf_puts(buf, "{\"rows\": null, \"columns\": [");
	else
		buf_printf(buf, "{\"rows\": %" PRIu64 ", \"columns\": [", rows);
	for (size_t i = 0; i < shown; i++) {
		if (i > 0)
			buf_puts(buf, ", ");
		column_write(&columns[i], buf);
	}
	if (total > shown)
		buf_printf(buf, "], \"columns_total\": %" PRIu64 "}", total);
	else
		buf_puts(buf, "]}");
}

/* By name, as it is written: the SDK writes a column's name twice alike. Of long ones the beginning has to do. */
static int name_compare(const struct value *a, const struct value *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return memcmp(a->p, b->p, a->n < NAME_MAX_SIZE ? a->n : NAME_MAX_SIZE);
}

static int by_name(const void *a, const void *b)
{
	return name_compare(&((const struct column *)a)->name, &((const struct column *)b)->name);
}

static int by_place(const void *a, const void *b)
{
	const struct column *x = a, *y = b;
	return x->place < y->place ? -1 : x->place > y->place;
}

/* The first of the sorted columns with this name or a later one. */
static size_t columns_search(const struct column *columns, size_t count, const struct value *name)
{
	size_t low = 0;
	while (low < count) {
		size_t middle = low + (count - low) / 2;
		if (name_compare(&columns[middle].name, name) < 0)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

/* Gives the shown columns what the data says of them. */
static bool columns_fill(struct column *columns, size_t count, const struct value *data, const atomic_bool *cancel)
{
	uint64_t pairs;
	struct bytes inside;
	struct value name, map;
	if (!value_open(data, MSGPACK_MAP, &pairs, &inside))
		return false;
	qsort(columns, count, sizeof *columns, by_name);
	for (; pairs > 0; pairs--) {
		struct column_info info;
		if (!value_take(&inside, cancel, &name) || !value_take(&inside, cancel, &map))
			return false;
		if (name.n > NAME_MAX_SIZE)
			continue;
		size_t i = columns_search(columns, count, &name);
		if (i < count && name_compare(&columns[i].name, &name) == 0 && info_read(&map, cancel, &info))
			columns[i].info = info;
	}
	/* Only now to those that have the same name, so that many of them cost no more. */
	for (size_t i = 1; i < count; i++)
		if (name_compare(&columns[i - 1].name, &columns[i].name) == 0)
			columns[i].info = columns[i - 1].info;
	qsort(columns, count, sizeof *columns, by_place);
	return true;
}

/* As many as the index, or else as each column that says how many it has. */
static uint64_t frame_rows(const struct value *index, const struct column *columns, size_t count)
{
	uint64_t rows = UNKNOWN_ROWS;
	struct bytes inside;
	if (value_open(index, MSGPACK_ARRAY, &rows, &inside))
		return rows;
	if (count == 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t own = info_rows(&columns[i].info);
		if (rows != UNKNOWN_ROWS && own != UNKNOWN_ROWS && own != rows)
			return UNKNOWN_ROWS;
		rows = own != UNKNOWN_ROWS ? own : rows;
	}
	return rows;
}

static bool describe_frame(const struct value *names, const struct value *index, const struct value *data, const atomic_bool *cancel,
	struct buf *buf)
{
	uint64_t total;
	struct bytes inside;
	if (!value_is_kind(data, MSGPACK_MAP) || !value_open(names, MSGPACK_ARRAY, &total, &inside))
		return false;
	size_t shown = total < COLUMNS_SHOWN ? (size_t)total : COLUMNS_SHOWN;
	cleanup_free struct column *columns = calloc(shown ? shown : 1, sizeof *columns);
	if (!columns) {
		buf->failed = true;
		return true;
	}
	for (size_t i = 0; i < shown; i++) {
		columns[i].place = i;
		if (!value_take(&inside, cancel, &columns[i].name))
			return false;
	}
	if (!columns_fill(columns, shown, data, cancel))
		return false;
	description_write(frame_rows(index, columns, shown), columns, shown, total, buf);
	return true;
}

static bool describe(const uint8_t *document, size_t n, const atomic_bool *cancel, struct buf *buf)
{
	const struct value whole = {.p = document, .n = n};
	struct wanted members[] = {
		{.name = "columns"}, {.name = "index"}, {.name = "data"}, {.name = "name"}, {.name = "type"}, {.name = "dtype"},
	};
	if (!map_find(&whole, cancel, members, COUNT(members)))
		return false;
	const struct value *names = &members[0].value, *index = &members[1].value, *data = &members[2].value;
	if (!value_is_kind(index, MSGPACK_NIL) && !value_is_kind(index, MSGPACK_ARRAY))
		return false;
	if (names->n > 0)
		return describe_frame(names, index, data, cancel, buf);
	struct column column = {.name = members[3].value, .info = {members[4].value, *data, members[5].value}};
	if (column.name.n == 0 || column.info.type.n == 0 || data->n == 0)
		return false;
	description_write(frame_rows(index, &column, 1), &column, 1, 1, buf);
	return true;
}

int msgpack_describe_columns(const uint8_t *document, size_t n, const atomic_bool *cancel, struct buf *buf)
{
	bool known = describe(document, n, cancel, buf);
	if (!known && is_cancelled(cancel))
		return -EINTR;
	return buf->failed ? -ENOMEM : known;
}
