#include "documents.h"

#include "ckfs/numpy.h"

#include "choices.h"
#include "writers.h"

#include <string.h>

#define put_bytes(to, ...) buf_put(to, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static const char *const dtypes[] = {
	"float64", "bool", "int8", "uint16", "<f2", ">i4", "complex64", "complex256", "float128", "<U3", ">U2", "|S5", "|V3", "datetime64[ns]",
	"datetime64[25s]", "datetime64", ">M8[us]", "timedelta64[D]", "longdouble", "=f 08", "a8", "<U0", "object", "StringDType(na_object=nan)",
	"[('a', '<i4')]", "bfloat16", "M8[ns/2]", "(2,3)f4", "", "<U536870911",
};

/* --- MessagePack --- */

/* A head for n, in one of the widths that hold it: `marks` are those of 8, 16 and 32 bits, `fix` the one that has n in itself. */
static void put_head(struct buf *to, struct bytes *rest, const uint8_t marks[static 3], uint8_t fix, unsigned fix_max, unsigned n)
{
	unsigned width = choose(rest, 4);
	if (width == 3 && n <= fix_max)
		put_bytes(to, (uint8_t)(fix | n));
	else if (width == 0 && marks[0])
		put_bytes(to, marks[0], (uint8_t)n);
	else if (width <= 1)
		put_bytes(to, marks[1], 0, (uint8_t)n);
	else
		put_bytes(to, marks[2], 0, 0, 0, (uint8_t)n);
}

/* The next n bytes of the rest; zeros where there are none. */
static void put_rest(struct buf *to, struct bytes *rest, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put_bytes(to, (uint8_t)choose(rest, 256));
}

static void put_container(struct buf *to, struct bytes *rest, unsigned depth, bool map)
{
	static const uint8_t arrays[] = {0, 0xdc, 0xdd}, maps[] = {0, 0xde, 0xdf};
	unsigned n = depth < 30 && rest->left > 0 ? choose(rest, 5) : 0;
	put_head(to, rest, map ? maps : arrays, map ? 0x80 : 0x90, 15, n);
	/* The JSON of a key within a key within a key… is twice as long with each: few of them do, and some hundred MB of it tell no more. */
	for (unsigned i = 0; i < (map ? 2 * n : n); i++)
		make_msgpack(to, rest, map && i % 2 == 0 ? depth + 6 : depth + 1);
}

/* Maps that mean something to the SDK. */
static void put_marker(struct buf *to, struct bytes *rest, unsigned depth)
{
	static const char *const markers[] = {"__datetime__", "__set__", "__tuple__", "__uuid__", "$base64", "$float", "$ext"};
	const char *marker = choose_of(rest, markers);
	put_bytes(to, 0x82, (uint8_t)(0xa0 | strlen(marker)));
	buf_puts(to, marker);
	put_bytes(to, 0xc3, 0xa5);
	buf_puts(to, "value");
	make_msgpack(to, rest, depth + 1);
}

void make_msgpack(struct buf *to, struct bytes *rest, unsigned depth)
{
	static const uint8_t texts[] = {0xd9, 0xda, 0xdb}, bins[] = {0xc4, 0xc5, 0xc6}, exts[] = {0xc7, 0xc8, 0xc9};
	static const uint8_t marks[] = {0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xca, 0xcb, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8};
	static const uint8_t sizes[] = {1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 2, 3, 5, 9, 17};
	static const uint8_t singles[] = {0xc0, 0xc2, 0xc3, 0x00, 0x7f, 0xe0, 0xff};
	unsigned kind = choose(rest, 9), n;
	switch (kind) {
	case 0:
		put_bytes(to, choose_of(rest, singles));
		break;
	case 1:
	case 2:
		n = choose(rest, sizeof marks);
		put_bytes(to, marks[n]);
		put_rest(to, rest, sizes[n]);
		break;
	case 3:
	case 4:
	case 5:
		n = choose(rest, 40);
		put_head(to, rest, kind == 3 ? texts : kind == 4 ? bins : exts, 0xa0, kind == 3 ? 31 : 0, n);
		/* An ext has a type besides; a bin has no head with its length in itself, and a text of that head is fine too. */
		put_rest(to, rest, kind == 5 && (uint8_t)to->p[to->length - 1] != 0xa0 ? n + 1 : n);
		break;
	case 6:
		put_marker(to, rest, depth);
		break;
	default:
		put_container(to, rest, depth, kind == 7);
	}
}

void make_long(struct buf *to, struct bytes rest, unsigned count)
{
	/* More than is peeled at once, on the thread that asks. */
	enum { MOST = 5 << 18 };
	if (rest.left * count > MOST)
		count = (unsigned)(MOST / rest.left);
	put_bytes(to, 0xdd, 0, 0, (uint8_t)(count >> 8), (uint8_t)count);
	for (unsigned i = 0; i < count; i++)
		buf_put(to, rest.p, rest.left);
}

/* --- columns --- */

static void put_text(struct buf *to, const char *text)
{
	put_bytes(to, (uint8_t)(0xa0 | strlen(text)));
	buf_puts(to, text);
}

/* The members that make a column: of numbers, or of objects. */
static void put_column(struct buf *to, struct bytes *rest, unsigned rows)
{
	const char *dtype = choose_of(rest, dtypes);
	bool numeric = choose(rest, 3) != 0;
	put_text(to, "type");
	put_text(to, numeric ? "numeric" : choose(rest, 2) ? "object" : "categorical");
	put_text(to, "data");
	if (numeric) {
		struct ndarray array = {.itemsize = 8};
		(void)numpy_descr(dtype, strlen(dtype), &array);
		unsigned n = (unsigned)(array.itemsize % 64) * rows + (choose(rest, 6) == 5);
		put_bytes(to, 0xc5, (uint8_t)(n >> 8), (uint8_t)n);
		put_rest(to, rest, n);
	} else {
		put_bytes(to, (uint8_t)(0x90 | rows));
		for (unsigned i = 0; i < rows; i++)
			make_msgpack(to, rest, 25);
	}
	put_text(to, "dtype");
	put_bytes(to, 0xd9, (uint8_t)strlen(dtype));
	buf_puts(to, dtype);
}

static void put_index(struct buf *to, struct bytes *rest, unsigned rows)
{
	bool none = choose(rest, 2) == 0;
	put_text(to, "index");
	put_bytes(to, none ? 0xc0 : (uint8_t)(0x90 | rows));
	for (unsigned i = 0; i < rows && !none; i++)
		put_bytes(to, (uint8_t)i);
}

void make_columns(struct buf *to, struct bytes rest, const unsigned numbers[static 3], bool series)
{
	unsigned count = numbers[0] % 6, rows = numbers[1] % 6;
	if (series) {
		put_bytes(to, 0x85);
		put_text(to, "name");
		make_msgpack(to, &rest, 28);
		put_index(to, &rest, rows);
		put_column(to, &rest, rows);
		return;
	}
	put_bytes(to, 0x83);
	put_text(to, "columns");
	put_bytes(to, (uint8_t)(0x90 | count));
	for (unsigned i = 0; i < count; i++)
		put_bytes(to, 0xa2, 'c', (uint8_t)('0' + i));
	put_index(to, &rest, rows);
	put_text(to, "data");
	put_bytes(to, (uint8_t)(0x80 | count));
	for (unsigned i = 0; i < count; i++) {
		put_bytes(to, 0xa2, 'c', (uint8_t)('0' + (numbers[2] % 7 == 6 ? count - i : i)), 0x83);
		put_column(to, &rest, rows);
	}
}

/* --- Arrow and arrays --- */

void make_arrow(struct buf *to, struct bytes rest)
{
	buf_put(to, "ARROW1\0\0", 8);
	buf_put(to, rest.p, rest.left);
	buf_puts(to, "ARROW1");
}

void make_numpy(struct buf *to, struct bytes rest, const unsigned numbers[static 3])
{
	const char *dtype = dtypes[numbers[0] % (sizeof dtypes / sizeof *dtypes)];
	struct ndarray array = {.itemsize = 8};
	uint32_t shape[4];
	unsigned ndim = numbers[1] % 5;
	(void)numpy_descr(dtype, strlen(dtype), &array);
	size_t n = array.itemsize % 64;
	for (unsigned i = 0; i < ndim; i++) {
		shape[i] = numbers[2] >> 2 * i & 3;
		n *= shape[i];
	}
	write_numpy_head(to, dtype, shape, ndim);
	/* One byte more, or less, where the number of dimensions was chosen from far up. */
	put_rest(to, &rest, (unsigned)n + (numbers[1] > 250) - (numbers[1] == 250 && n > 0));
}
