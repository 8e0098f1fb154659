/*
 * NUMPY_RAW, the SDK's array document, and the .npy header that stands for it.
 *
 *   "NUMPY_RAW" | dtype length u16 LE | dtype string | shape bytes u16 LE | dimensions u32 LE each | array, C order
 */
#ifndef CKFS_NUMPY_H
#define CKFS_NUMPY_H

#include "ckfs/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* NumPy 2 takes no more dimensions. */
#define NUMPY_DIMENSIONS_MAX 64

#define NUMPY_MAGIC "NUMPY_RAW"

struct ndarray {
	char descr[40]; /* as .npy writes it: "<f8", "<M8[25s]" */
	uint64_t itemsize; /* bytes, not 0: nobody reads arrays of nothing */
	unsigned ndim;
	uint32_t shape[NUMPY_DIMENSIONS_MAX];
	uint64_t data_offset; /* of the array in the document */
	uint64_t data_length; /* bytes: product of shape and itemsize */
};

/*
 * The .npy descr and item size of a dtype as NumPy reads it, and so the SDK (little-endian machine).
 * 0; -EOPNOTSUPP for object, StringDType, structured and any other dtype .npy has no plain form for, those without
 * bytes ("|V0") among them; -EUCLEAN for what no dtype is named.
 */
int numpy_descr(const char *dtype, size_t n, struct ndarray *ret);

/*
 * Of a dtype with no plain form: whether NumPy may read it all the same, in some version or with a package that adds dtypes ("f4,i8", "M8[D/2]",
 * "bfloat16"). Object, StringDType and structured ones it writes, and does not read.
 */
bool numpy_may_read(const char *dtype, size_t n);

/*
 * Reads the head of a NUMPY_RAW document and checks that dtype, shape and length agree.
 * 0; -EUCLEAN, -EOPNOTSUPP with *ret_reason (static text, else NULL); -EIO, and -ENODATA when its bytes are not at hand.
 */
int numpy_read(const struct slice *document, struct ndarray *ret, const char **ret_reason);

/* numpy_may_read() of the document's dtype. 1, 0, errors as slice_read(). */
int numpy_document_may_read(const struct slice *document);

/*
 * The .npy header (version 1.0) of the array: a multiple of 64 bytes. The caller frees *ret. 0, -ENOMEM.
 */
int numpy_write_header(const struct ndarray *array, char **ret, size_t *ret_length);

/* Bytes of the .npy file: header and array. 0, -ENOMEM. */
int numpy_file_size(const struct ndarray *array, uint64_t *ret);

#endif
