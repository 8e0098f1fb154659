/*
 * A slice: a window of storage. Each layer maps a slice to a slice.
 *
 * Storage is reference-counted and never changes once shared: a descriptor (a
 * cache file; read with pread, never mapped, since others may truncate it) or
 * memory (also a mapping of a memfd or a spool file). Slices are values; one that a function returns
 * through `ret` holds a reference, which slice_done() drops.
 */
#ifndef CKFS_SLICE_H
#define CKFS_SLICE_H

#include "ckfs/cleanup.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct storage;

struct slice {
	struct storage *storage; /* NULL: an empty slice that holds nothing */
	uint64_t offset;         /* bytes, from the start of the storage */
	uint64_t length;         /* bytes */
};

/*
 * Storage over a descriptor, of which the first n bytes were read already: reads of those cost nothing. Takes ownership of fd.
 * 0, -ENOMEM.
 */
int storage_new_fd(int fd, const void *first, size_t n, struct storage **ret);

/* Storage over memory from malloc. Takes ownership of `memory`. 0, -ENOMEM. */
int storage_new_memory(void *memory, struct storage **ret);

/*
 * Storage over a mapping of nobody else's content, `mapped` bytes from mmap, which may begin within its first page. Takes ownership of it.
 * `secret`: it is wiped before it is let go. 0, -ENOMEM.
 */
int storage_new_mapping(void *memory, size_t mapped, bool secret, struct storage **ret);

/* So many bytes of its mapping are left: the others were unmapped before it is shared. */
void storage_trim(struct storage *storage, size_t mapped);

/*
 * Whoever has only a descriptor can read what lies `from` bytes into a mapping and is `length` bytes long: fd holds it and nothing else. Takes
 * ownership of fd, and takes 1 off *counter when it is closed. Call it before the storage is shared.
 */
void storage_back(struct storage *storage, int fd, uint64_t from, uint64_t length, atomic_uint *counter);

/*
 * Storage of which only the first n bytes are there (copied): what lies beyond reads as -ENODATA until it is
 * completed. 0, -ENOMEM.
 */
int storage_new_partial(const void *first, size_t n, struct storage **ret);

/* A slice of `size` bytes of which only the first n are there, as above. 0, -ENOMEM. */
int slice_new_partial(const void *first, size_t n, uint64_t size, struct slice *ret);

/* Completes it with the same bytes, whole. Takes a reference of its own; the first one counts. Others may be reading meanwhile. 0, -ENOMEM. */
int storage_complete(struct storage *storage, const struct slice *whole);

/* Whether all of it can be read. */
bool storage_is_whole(const struct storage *storage);

struct storage *storage_ref(struct storage *storage);
void storage_unref(struct storage *storage);

/* Whether somebody holds it besides the caller. */
bool storage_is_shared(const struct storage *storage);

/* Takes `bytes` off *counter when the storage goes. */
void storage_charge(struct storage *storage, atomic_uint_least64_t *counter, uint64_t bytes);

/* Whether any were charged for it. */
bool storage_is_charged(const struct storage *storage);

/* The descriptor, or -1 for memory. It stays the storage's. */
int storage_fd(const struct storage *storage);

/* A slice of storage; takes its own reference. */
void slice_new(struct storage *storage, uint64_t offset, uint64_t length, struct slice *ret);

/* A slice over a copy of n bytes. 0, -ENOMEM. */
int slice_new_copy(const void *bytes, size_t n, struct slice *ret);

/* A window of a slice; -ERANGE when it does not lie inside. Takes its own reference. */
int slice_sub(const struct slice *slice, uint64_t offset, uint64_t length, struct slice *ret);

/* Another reference to the same window. */
void slice_copy(const struct slice *slice, struct slice *ret);

/* Drops the reference; the slice is empty afterwards. */
void slice_done(struct slice *slice);
#define cleanup_slice cleanup_with(slice_done)

/* Hands a reference over: the slice is empty afterwards. */
static inline struct slice slice_steal(struct slice *slice)
{
	struct slice stolen = *slice;
	*slice = (struct slice){0};
	return stolen;
}

/* The slice's bytes where they lie in memory; NULL when they have to be read. */
const uint8_t *slice_memory(const struct slice *slice);

/* A descriptor that holds the slice's bytes and nothing else; -1: there is none. It stays the storage's. */
int slice_backing(const struct slice *slice);

/*
 * Reads exactly n bytes at `offset` of the slice. 0; -ERANGE when they do not lie
 * inside; -EIO when the storage is shorter than the slice says; -ENODATA beyond what is
 * there of partial storage; else the read error.
 */
int slice_read(const struct slice *slice, uint64_t offset, void *buf, size_t n);

#endif
