/*
 * The names NumPy gives its dtypes, and what .npy files call them:
 *
 *   native numbers          float64            <f8
 *   of the other order      >f8                >f8
 *   text, bytes, void       <U3 >U2 |S5 |V3    the same
 *   times                   datetime64[25s]    <M8[25s]
 *                           >M8[us]            >M8[us]
 */
#include "ckfs/bytes.h"
#include "ckfs/numpy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct number {
	const char *name;
	char descr[5];
	uint8_t itemsize;
} numbers[] = {
	{"bool", "|b1", 1},       {"int8", "|i1", 1},        {"uint8", "|u1", 1},       {"int16", "<i2", 2},
	{"uint16", "<u2", 2},     {"int32", "<i4", 4},       {"uint32", "<u4", 4},      {"int64", "<i8", 8},
	{"uint64", "<u8", 8},     {"float16", "<f2", 2},     {"float32", "<f4", 4},     {"float64", "<f8", 8},
	{"float128", "<f16", 16}, {"complex64", "<c8", 8},   {"complex128", "<c16", 16}, {"complex256", "<c32", 32},
};

static bool begins_with(const char *dtype, size_t n, const char *start)
{
	return n >= strlen(start) && memcmp(dtype, start, strlen(start)) == 0;
}

/* A decimal number as NumPy writes it, up to INT32_MAX: no sign, no leading zeros. */
static bool read_count(struct bytes *b, uint32_t *ret)
{
	uint32_t count = 0;
	size_t n = 0;
	for (; n < b->left && n < 10 && b->p[n] >= '0' && b->p[n] <= '9'; n++)
		if (__builtin_mul_overflow(count, 10, &count) || __builtin_add_overflow(count, b->p[n] - '0', &count))
			return false;
	if (n == 0 || (n > 1 && b->p[0] == '0') || count > INT32_MAX)
		return false;
	b->p += n;
	b->left -= n;
	*ret = count;
	return true;
}

/* "[us]", "[25s]", or nothing: a time without a unit. */
static bool is_unit(struct bytes b)
{
	static const char *const units[] = {"Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"};
	uint32_t count = 1;
	if (b.left == 0)
		return true;
	if (!bytes_match(&b, "[", 1))
		return false;
	(void)read_count(&b, &count);
	if (count == 0)
		return false;
	for (size_t i = 0; i < COUNT(units); i++) {
		struct bytes rest = b;
		if (bytes_match(&rest, units[i], strlen(units[i])) && bytes_match(&rest, "]", 1) && rest.left == 0)
			return true;
	}
	return false;
}

/* Numbers by their letter and size; those of one byte have no order. */
static bool is_number(uint8_t order, uint8_t kind, uint32_t size)
{
	for (size_t i = 0; i < COUNT(numbers); i++) {
		const struct number *n = &numbers[i];
		if ((uint8_t)n->descr[1] == kind && n->itemsize == size)
			return (order == '|') == (size == 1);
	}
	return false;
}

/* An explicit dtype, "<U3" or ">i4": its own descr. */
static bool read_explicit(const char *dtype, size_t n, struct ndarray *ret)
{
	struct bytes b = bytes_of(dtype, n);
	uint8_t order, kind;
	uint32_t size;
	if (!bytes_u8(&b, &order) || !bytes_u8(&b, &kind) || (order != '<' && order != '>' && order != '|'))
		return false;
	if (!read_count(&b, &size) || n >= sizeof ret->descr)
		return false;
	uint64_t itemsize = kind == 'U' ? (uint64_t)size * 4 : size;
	bool ok;
	if (kind == 'M' || kind == 'm')
		ok = order != '|' && size == 8 && is_unit(b);
	else if (kind == 'U')
		ok = order != '|' && itemsize <= INT32_MAX && b.left == 0;
	else if (kind == 'S' || kind == 'V')
		ok = order == '|' && b.left == 0;
	else
		ok = is_number(order, kind, size) && b.left == 0;
	if (!ok)
		return false;
	memcpy(ret->descr, dtype, n);
	ret->descr[n] = 0;
	ret->itemsize = itemsize;
	return true;
}

static bool read_number(const char *dtype, size_t n, struct ndarray *ret)
{
	for (size_t i = 0; i < COUNT(numbers); i++) {
		if (strlen(numbers[i].name) != n || memcmp(numbers[i].name, dtype, n) != 0)
			continue;
		memcpy(ret->descr, numbers[i].descr, sizeof numbers[i].descr);
		ret->itemsize = numbers[i].itemsize;
		return true;
	}
	return false;
}

static bool read_time(const char *dtype, size_t n, struct ndarray *ret)
{
	static const char *const names[] = {"datetime64", "timedelta64"}, *const descrs[] = {"<M8", "<m8"};
	for (size_t i = 0; i < COUNT(names); i++) {
		size_t start = strlen(names[i]);
		if (!begins_with(dtype, n, names[i]) || !is_unit(bytes_of(dtype + start, n - start)))
			continue;
		snprintf(ret->descr, sizeof ret->descr, "%s%.*s", descrs[i], (int)(n - start), dtype + start);
		ret->itemsize = 8;
		return true;
	}
	return false;
}

/* Dtypes whose own text holds other texts (field names, a filler), in any script. */
static bool is_composed(const char *dtype, size_t n)
{
	return begins_with(dtype, n, "[(") || begins_with(dtype, n, "{'") || begins_with(dtype, n, "(numpy.record") ||
	       begins_with(dtype, n, "StringDType(");
}

int numpy_descr(const char *dtype, size_t n, struct ndarray *ret)
{
	if (read_number(dtype, n, ret) || read_time(dtype, n, ret) || read_explicit(dtype, n, ret))
		return 0;
	if (is_composed(dtype, n))
		return -EOPNOTSUPP;
	for (size_t i = 0; i < n; i++)
		if (dtype[i] < 0x20 || dtype[i] > 0x7e)
			return -EUCLEAN;
	return n > 0 ? -EOPNOTSUPP : -EUCLEAN;
}
