/* Reads a slice from end to end, a piece at a time. */
#ifndef CKFS_PIECES_H
#define CKFS_PIECES_H

#include "ckfs/slice.h"

#include <stdatomic.h>

/* Takes a piece, never empty, which is good until it returns. Nonzero ends the reading. */
typedef int piece_fn(void *arg, const uint8_t *bytes, size_t n);

/*
 * Gives all from `from` (at most the slice's length) to take(), in order, one at a time, though not always on the same thread: of what is large and lies
 * in a file, one thread reads a piece while another one takes the piece before.
 *
 * 0; what take() returned; -EINTR *cancel (may be NULL) became true; -ENOMEM; errors as of slice_read().
 */
int pieces_read(const struct slice *slice, uint64_t from, const atomic_bool *cancel, piece_fn *take, void *arg);

#endif
