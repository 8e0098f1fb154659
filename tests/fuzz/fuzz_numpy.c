/*
 * An array that numpy_read() takes lies inside its document, and its .npy header says the same of it.
 *
 * Also: the header is a multiple of 64 bytes, its descr is a dtype with the same item
 * size, and a failure leaves the result alone and has a reason.
 *
 * Input: a NUMPY_RAW document.
 */
#include "ckfs/bytes.h"
#include "ckfs/numpy.h"
#include "fuzz.h"

#include <errno.h>

static void check_lengths(const struct ndarray *a, size_t size)
{
	uint64_t bytes = a->itemsize;
	CHECK(a->ndim <= NUMPY_DIMENSIONS_MAX);
	for (unsigned i = 0; i < a->ndim; i++)
		bytes = a->shape[i] == 0 ? 0 : bytes * a->shape[i];
	for (unsigned i = 0; i < a->ndim; i++)
		if (a->shape[i] == 0)
			bytes = 0;
	CHECK(a->data_length == bytes);
	CHECK(a->data_offset <= size && a->data_length == size - a->data_offset);
}

/* Reads the numbers of a shape back from their text. */
static void check_shape(const struct ndarray *a, const char *text)
{
	for (unsigned i = 0; i < a->ndim; i++) {
		char *end;
		CHECK(strtoull(text, &end, 10) == a->shape[i] && end > text);
		CHECK(*end == ',' || (*end == ')' && i + 1 == a->ndim && a->ndim > 1));
		text = end + (a->ndim == 1 ? 1 : 0) + (*end == ',' && a->ndim > 1);
	}
	CHECK(*text == ')');
}

static void check_header(const struct ndarray *a)
{
	char *header, text[4096];
	size_t n;
	struct ndarray again = {0};
	CHECK(numpy_write_header(a, &header, &n) == 0);
	CHECK(n % 64 == 0 && n < sizeof text && memcmp(header, "\x93NUMPY\x01\x00", 8) == 0);
	CHECK(((size_t)(uint8_t)header[8] | (size_t)(uint8_t)header[9] << 8) == n - 10 && header[n - 1] == '\n');
	memcpy(text, header, n);
	text[n - 1] = 0;
	const char *dict = text + 10, start[] = "{'descr': '", middle[] = "', 'fortran_order': False, 'shape': (";
	CHECK(strlen(dict) == n - 11 && strncmp(dict, start, sizeof start - 1) == 0);
	dict += sizeof start - 1;
	CHECK(strncmp(dict, a->descr, strlen(a->descr)) == 0);
	dict += strlen(a->descr);
	CHECK(strncmp(dict, middle, sizeof middle - 1) == 0);
	check_shape(a, dict + sizeof middle - 1);
	CHECK(numpy_descr(a->descr, strlen(a->descr), &again) == 0);
	CHECK(again.itemsize == a->itemsize && strcmp(again.descr, a->descr) == 0);
	free(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice document = fuzz_slice(data, size), inside = fuzz_slice_inside(data, size, 0);
	struct ndarray array, untouched, other;
	const char *reason = NULL, *other_reason = NULL;
	memset(&array, 0xa5, sizeof array);
	untouched = array;
	int r = numpy_read(&document, &array, &reason);
	CHECK(r == 0 || r == -EUCLEAN || r == -EOPNOTSUPP);
	CHECK((r == 0) == (reason == NULL));
	CHECK(numpy_read(&inside, &other, &other_reason) == r && reason == other_reason);
	if (r == 0) {
		check_lengths(&array, size);
		check_header(&array);
	} else {
		CHECK(memcmp(&array, &untouched, sizeof array) == 0);
	}
	slice_done(&inside);
	slice_done(&document);
	return 0;
}
