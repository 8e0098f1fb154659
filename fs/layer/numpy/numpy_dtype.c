/*
 * Dtypes as NumPy reads them, and what .npy files call them:
 *
 *   names of numbers        float64 double     <f8
 *   letters of numbers      d =d >d            <f8 >f8
 *   letters with a size     f8 >f8 |u1         <f8 >f8 |u1
 *   text, bytes, void       <U3 >U2 |S5 |V3    the same
 *   times                   datetime64[25s]    <M8[25s]
 *                           >M8[us]            >M8[us]
 *
 * str(dtype) gives the canonical ones; cachekit reads all. Left to NumPy is what only some versions of it read ("a8"),
 * what is no single number, text or time (lists, sub-arrays, fields), and a unit with a divisor.
 */
#include "ckfs/bytes.h"
#include "ckfs/numpy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A dtype that is known: its kind as .npy files write it, and its size as they count it (characters for text). */
struct plain {
	char kind;
	uint32_t size;
};

static const struct plain numbers[] = {
	{'b', 1}, {'i', 1}, {'i', 2}, {'i', 4}, {'i', 8}, {'u', 1}, {'u', 2}, {'u', 4}, {'u', 8},
	{'f', 2}, {'f', 4}, {'f', 8}, {'f', 16}, {'c', 8}, {'c', 16}, {'c', 32},
	{'M', 8}, {'m', 8},
};

static const struct {
	const char *name;
	struct plain plain;
} names[] = {
	{"bool", {'b', 1}},      {"int8", {'i', 1}},        {"uint8", {'u', 1}},       {"int16", {'i', 2}},
	{"uint16", {'u', 2}},    {"int32", {'i', 4}},       {"uint32", {'u', 4}},      {"int64", {'i', 8}},
	{"uint64", {'u', 8}},    {"float16", {'f', 2}},     {"float32", {'f', 4}},     {"float64", {'f', 8}},
	{"float128", {'f', 16}}, {"complex64", {'c', 8}},   {"complex128", {'c', 16}}, {"complex256", {'c', 32}},
	{"bool_", {'b', 1}},     {"byte", {'i', 1}},        {"ubyte", {'u', 1}},       {"short", {'i', 2}},
	{"ushort", {'u', 2}},    {"intc", {'i', 4}},        {"uintc", {'u', 4}},       {"int", {'i', 8}},
	{"int_", {'i', 8}},      {"uint", {'u', 8}},        {"intp", {'i', 8}},        {"uintp", {'u', 8}},
	{"long", {'i', 8}},      {"ulong", {'u', 8}},       {"longlong", {'i', 8}},    {"ulonglong", {'u', 8}},
	{"half", {'f', 2}},      {"single", {'f', 4}},      {"float", {'f', 8}},       {"double", {'f', 8}},
	{"longdouble", {'f', 16}}, {"csingle", {'c', 8}},   {"complex", {'c', 16}},    {"cdouble", {'c', 16}},
	{"clongdouble", {'c', 32}},
};

static const struct plain letters[128] = {
	['?'] = {'b', 1}, ['b'] = {'i', 1}, ['B'] = {'u', 1}, ['h'] = {'i', 2}, ['H'] = {'u', 2}, ['i'] = {'i', 4},
	['I'] = {'u', 4}, ['l'] = {'i', 8}, ['L'] = {'u', 8}, ['q'] = {'i', 8}, ['Q'] = {'u', 8}, ['n'] = {'i', 8},
	['N'] = {'u', 8}, ['p'] = {'i', 8}, ['P'] = {'u', 8}, ['e'] = {'f', 2}, ['f'] = {'f', 4}, ['d'] = {'f', 8},
	['g'] = {'f', 16}, ['F'] = {'c', 8}, ['D'] = {'c', 16}, ['G'] = {'c', 32}, ['c'] = {'S', 1}, ['M'] = {'M', 8},
	['m'] = {'m', 8},
};

static bool is(struct bytes b, const char *word)
{
	return b.left == strlen(word) && memcmp(b.p, word, b.left) == 0;
}

/* A decimal number as strtol() reads it, from 1 to INT32_MAX. */
static bool read_count(struct bytes *b, uint32_t *ret)
{
	struct bytes rest = *b;
	uint32_t count = 0;
	for (; rest.left > 0 && (*rest.p == ' ' || (*rest.p >= '\t' && *rest.p <= '\r')); rest.left--)
		rest.p++;
	(void)bytes_match(&rest, "+", 1);
	const uint8_t *digits = rest.p;
	for (; rest.left > 0 && *rest.p >= '0' && *rest.p <= '9'; rest.p++, rest.left--)
		if (__builtin_mul_overflow(count, 10, &count) || __builtin_add_overflow(count, *rest.p - '0', &count))
			return false;
	if (rest.p == digits || count == 0 || count > INT32_MAX)
		return false;
	*b = rest;
	*ret = count;
	return true;
}

/* "[us]", "[25s]", or nothing: a time without a unit. Its text as .npy files have it. */
static bool read_unit(struct bytes b, char *ret, size_t size)
{
	static const char *const units[] = {"Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"};
	uint32_t count = 1;
	*ret = '\0';
	if (b.left == 0)
		return true;
	if (!bytes_match(&b, "[", 1) || b.left == 0 || b.p[b.left - 1] != ']')
		return false;
	b.left--;
	(void)read_count(&b, &count);
	if (is(b, "generic"))
		return count == 1;
	if (is(b, "\u03bcs"))
		b = bytes_of("us", 2);
	size_t i = 0;
	while (i < COUNT(units) && !is(b, units[i]))
		i++;
	if (i == COUNT(units))
		return false;
	if (count == 1)
		snprintf(ret, size, "[%s]", units[i]);
	else
		snprintf(ret, size, "[%u%s]", count, units[i]);
	return true;
}

static bool is_number(char kind, uint32_t size)
{
	for (size_t i = 0; i < COUNT(numbers); i++)
		if (numbers[i].kind == kind && numbers[i].size == size)
			return true;
	return false;
}

/* "f8", "U3": a letter and a size. */
static bool read_sized(struct bytes b, struct plain *ret)
{
	struct plain plain = {0};
	uint8_t kind;
	if (!bytes_u8(&b, &kind) || !read_count(&b, &plain.size) || b.left > 0)
		return false;
	plain.kind = (char)kind;
	if (plain.kind == 'U' ? plain.size > INT32_MAX / 4 : plain.kind != 'S' && plain.kind != 'V' && !is_number(plain.kind, plain.size))
		return false;
	*ret = plain;
	return true;
}

static bool read_letter(struct bytes b, struct plain *ret)
{
	if (b.left != 1 || *b.p >= COUNT(letters) || letters[*b.p].size == 0)
		return false;
	*ret = letters[*b.p];
	return true;
}

static bool read_name(struct bytes b, struct plain *ret)
{
	for (size_t i = 0; i < COUNT(names); i++)
		if (is(b, names[i].name)) {
			*ret = names[i].plain;
			return true;
		}
	return false;
}

/* "M8[us]", "timedelta64". */
static bool read_time(struct bytes b, struct plain *ret, char *unit, size_t size)
{
	char kind;
	if (bytes_match(&b, "M8", 2) || bytes_match(&b, "datetime64", 10))
		kind = 'M';
	else if (bytes_match(&b, "m8", 2) || bytes_match(&b, "timedelta64", 11))
		kind = 'm';
	else
		return false;
	if (!read_unit(b, unit, size))
		return false;
	*ret = (struct plain){kind, 8};
	return true;
}

static bool read_plain(struct bytes b, struct ndarray *ret)
{
	struct plain plain = {0};
	char order = '<', unit[sizeof ret->descr - 4] = "";
	if (!read_name(b, &plain)) {
		if (bytes_match(&b, ">", 1))
			order = '>';
		else
			(void)(bytes_match(&b, "<", 1) || bytes_match(&b, "=", 1) || bytes_match(&b, "|", 1));
		if (!read_letter(b, &plain) && !read_sized(b, &plain) && !read_time(b, &plain, unit, sizeof unit))
			return false;
	}
	if (plain.kind == 'S' || plain.kind == 'V' || (plain.kind != 'U' && plain.size == 1))
		order = '|';
	ret->itemsize = plain.kind == 'U' ? (uint64_t)plain.size * 4 : plain.size;
	snprintf(ret->descr, sizeof ret->descr, "%c%c%u%s", order, plain.kind, plain.size, unit);
	return true;
}

/* Dtypes whose own text holds other texts (field names, a filler), in any script. */
static bool is_composed(struct bytes b)
{
	return bytes_match(&b, "[(", 2) || bytes_match(&b, "{'", 2) || bytes_match(&b, "(numpy.record", 13) ||
	       bytes_match(&b, "StringDType(", 12);
}

int numpy_descr(const char *dtype, size_t n, struct ndarray *ret)
{
	struct bytes b = bytes_of(dtype, n);
	if (read_plain(b, ret))
		return 0;
	if (is_composed(b))
		return -EOPNOTSUPP;
	for (size_t i = 0; i < n; i++)
		if (dtype[i] < 0x20 || dtype[i] > 0x7e)
			return -EUCLEAN;
	return n > 0 ? -EOPNOTSUPP : -EUCLEAN;
}

/* How the dtypes of ml_dtypes are called, which JAX and others bring along. */
static bool is_added(struct bytes b)
{
	static const char *const beginnings[] = {"bfloat", "float8_", "float6_", "float4_"};
	static const char *const whole[] = {"int1", "int2", "int4", "uint1", "uint2", "uint4"};
	for (size_t i = 0; i < COUNT(beginnings); i++)
		if (bytes_match(&b, beginnings[i], strlen(beginnings[i])))
			return true;
	for (size_t i = 0; i < COUNT(whole); i++)
		if (is(b, whole[i]))
			return true;
	return false;
}

bool numpy_may_read(const char *dtype, size_t n)
{
	struct bytes b = bytes_of(dtype, n);
	uint32_t count;
	if (is_composed(b))
		return false;
	/* Fields, and units with a divisor. */
	if (n > 0 && (memchr(dtype, ',', n) || memchr(dtype, '/', n)))
		return true;
	if (is_added(b))
		return true;
	(void)(bytes_match(&b, ">", 1) || bytes_match(&b, "<", 1) || bytes_match(&b, "=", 1) || bytes_match(&b, "|", 1));
	/* "a8" is "S8" to NumPy before 2.5; "1f8" is an array of one. */
	if (bytes_match(&b, "a", 1))
		return read_count(&b, &count) && b.left == 0;
	return b.left > 0 && *b.p >= '0' && *b.p <= '9';
}
