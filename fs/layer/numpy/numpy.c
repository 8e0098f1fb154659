#include "ckfs/numpy.h"

#include "ckfs/bytes.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * More than the longest head (magic, two lengths, dtype, shape), and more than nearly all. The second is tried first:
 * a listing has no more than the first bytes of a value at hand.
 */
#define HEAD_MAX 512
#define HEAD_USUAL 128

static bool shape_read(struct bytes b, struct ndarray *a, const char **ret_reason)
{
	uint64_t count = 1;
	bool empty = false;
	a->ndim = (unsigned)(b.left / 4);
	for (unsigned i = 0; i < a->ndim; i++) {
		bytes_u32le(&b, &a->shape[i]);
		/* NumPy holds an array's size in a signed word, and a dimension of 0 does not excuse the others. */
		if (a->shape[i] == 0)
			empty = true;
		else if (__builtin_mul_overflow(count, a->shape[i], &count) || count > INT64_MAX)
			goto too_large;
	}
	if (__builtin_mul_overflow(count, a->itemsize, &a->data_length) || a->data_length > INT64_MAX)
		goto too_large;
	if (empty)
		a->data_length = 0;
	return true;
too_large:
	*ret_reason = "array's shape is larger than any array";
	return false;
}

static int head_read(struct bytes b, size_t n, struct ndarray *a, const char **ret_reason)
{
	const uint8_t *dtype, *shape;
	uint16_t length;
	if (!bytes_match(&b, NUMPY_MAGIC, sizeof NUMPY_MAGIC - 1)) {
		*ret_reason = "document does not begin with NUMPY_RAW";
		return -EUCLEAN;
	}
	if (!bytes_u16le(&b, &length) || (length > b.left && n < HEAD_MAX))
		goto cut_short;
	/* A dtype longer than what was read is no plain one: its beginning tells. */
	int r = numpy_descr((const char *)b.p, length < b.left ? length : b.left, a);
	if (r < 0) {
		*ret_reason = r == -EOPNOTSUPP ? "array's dtype has no plain .npy form" : "array's dtype is not valid";
		return r;
	}
	if (!bytes_take(&b, length, &dtype) || !bytes_u16le(&b, &length) || !bytes_take(&b, length, &shape))
		goto cut_short;
	if (length % 4 != 0 || length / 4 > NUMPY_DIMENSIONS_MAX) {
		*ret_reason = "array's shape is not valid";
		return -EUCLEAN;
	}
	a->data_offset = n - b.left;
	return shape_read(bytes_of(shape, length), a, ret_reason) ? 0 : -EUCLEAN;
cut_short:
	*ret_reason = "array's head is cut short";
	return -EUCLEAN;
}

static int head_of(const struct slice *document, size_t max, struct ndarray *ret, const char **ret_reason)
{
	uint8_t head[HEAD_MAX];
	size_t n = document->length < max ? (size_t)document->length : max;
	*ret = (struct ndarray){0};
	*ret_reason = NULL;
	int r = slice_read(document, 0, head, n);
	return r < 0 ? r : head_read(bytes_of(head, n), n, ret, ret_reason);
}

int numpy_read(const struct slice *document, struct ndarray *ret, const char **ret_reason)
{
	struct ndarray a;
	int r = head_of(document, HEAD_USUAL, &a, ret_reason);
	if (r == -EUCLEAN && document->length > HEAD_USUAL)
		r = head_of(document, HEAD_MAX, &a, ret_reason);
	if (r < 0)
		return r;
	if (document->length - a.data_offset != a.data_length) {
		*ret_reason = "array's length does not agree with its dtype and shape";
		return -EUCLEAN;
	}
	*ret = a;
	return 0;
}

int numpy_document_may_read(const struct slice *document)
{
	uint8_t head[HEAD_MAX];
	size_t n = document->length < sizeof head ? (size_t)document->length : sizeof head;
	struct bytes b = bytes_of(head, n);
	uint16_t length;
	int r = slice_read(document, 0, head, n);
	if (r < 0 || !bytes_match(&b, NUMPY_MAGIC, sizeof NUMPY_MAGIC - 1) || !bytes_u16le(&b, &length))
		return r < 0 ? r : 0;
	return numpy_may_read((const char *)b.p, length < b.left ? length : b.left);
}

/* Text that is known to fit. */
struct text {
	char bytes[2048];
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, format, args);
	va_end(args);
	t->n += (size_t)n;
}

int numpy_write_header(const struct ndarray *array, char **ret, size_t *ret_length)
{
	/* What numpy.save writes, to the byte: also the room it leaves for the first dimension to grow to 21 digits. */
	struct text t = {.n = 10};
	text_add(&t, "{'descr': '%s', 'fortran_order': False, 'shape': (", array->descr);
	for (unsigned i = 0; i < array->ndim; i++)
		text_add(&t, i > 0 ? ", %" PRIu32 : "%" PRIu32, array->shape[i]);
	text_add(&t, array->ndim == 1 ? ",), }" : "), }");
	if (array->ndim > 0)
		text_add(&t, "%*s", 21 - snprintf(NULL, 0, "%" PRIu32, array->shape[0]), "");
	size_t length = (t.n + 1) / 64 * 64 + 64;
	text_add(&t, "%*s\n", (int)(length - t.n - 1), "");
	size_t header = length - 10;
	memcpy(t.bytes, "\x93NUMPY\x01\x00", 8);
	t.bytes[8] = (char)(header & 0xff);
	t.bytes[9] = (char)(header >> 8);

	char *copy = malloc(length);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, t.bytes, length);
	*ret = copy;
	*ret_length = length;
	return 0;
}

int numpy_file_size(const struct ndarray *array, uint64_t *ret)
{
	cleanup_free char *header = NULL;
	size_t n;
	int r = numpy_write_header(array, &header, &n);
	if (r == 0)
		*ret = n + array->data_length;
	return r;
}
