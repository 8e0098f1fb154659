#include "ckfs/slice.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

struct storage {
	atomic_uint refs;
	int fd;          /* -1: memory */
	uint8_t *memory; /* NULL: fd */
	size_t mapped;   /* bytes of the mapping that `memory` is; 0: it is from malloc */
	bool secret;     /* wiped before it is let go */
	int backing;     /* a descriptor of a part of `memory`; -1: none */
	uint64_t backed_from, backed_length;
	atomic_uint *backings; /* counts it */
	atomic_uint_least64_t *counter;
	uint64_t charged;
	bool partial;    /* beyond `first`, what `whole` says */
	_Atomic(struct slice *) whole; /* owned; NULL: it is not there yet */
	size_t first_length;
	uint8_t first[]; /* what stands at 0, kept in memory */
};

static int storage_new(int fd, void *memory, const void *first, size_t n, struct storage **ret)
{
	struct storage *s = malloc(sizeof *s + n);
	if (!s)
		return -ENOMEM;
	*s = (struct storage){.first_length = n, .backing = -1};
	if (n > 0)
		memcpy(s->first, first, n);
	atomic_init(&s->refs, 1);
	s->fd = fd;
	s->memory = memory;
	*ret = s;
	return 0;
}

int storage_new_fd(int fd, const void *first, size_t n, struct storage **ret)
{
	return storage_new(fd, NULL, first, n, ret);
}

int storage_new_memory(void *memory, struct storage **ret)
{
	return storage_new(-1, memory, NULL, 0, ret);
}

int storage_new_mapping(void *memory, size_t mapped, bool secret, struct storage **ret)
{
	int r = storage_new(-1, memory, NULL, 0, ret);
	if (r == 0) {
		(*ret)->mapped = mapped;
		(*ret)->secret = secret;
	}
	return r;
}

void storage_trim(struct storage *storage, size_t mapped)
{
	storage->mapped = mapped;
}

void storage_back(struct storage *storage, int fd, uint64_t from, uint64_t length, atomic_uint *counter)
{
	storage->backing = fd;
	storage->backed_from = from;
	storage->backed_length = length;
	storage->backings = counter;
}

int storage_new_partial(const void *first, size_t n, struct storage **ret)
{
	int r = storage_new(-1, NULL, first, n, ret);
	if (r == 0)
		(*ret)->partial = true;
	return r;
}

int storage_complete(struct storage *storage, const struct slice *whole)
{
	struct slice *own = malloc(sizeof *own);
	if (!own)
		return -ENOMEM;
	slice_copy(whole, own);
	struct slice *none = NULL;
	if (!atomic_compare_exchange_strong(&storage->whole, &none, own)) {
		slice_done(own);
		free(own);
	}
	return 0;
}

static const struct slice *whole_of(const struct storage *storage)
{
	return atomic_load_explicit(&storage->whole, memory_order_acquire);
}

bool storage_is_whole(const struct storage *storage)
{
	return !storage || !storage->partial || whole_of(storage);
}

struct storage *storage_ref(struct storage *storage)
{
	if (storage)
		atomic_fetch_add(&storage->refs, 1);
	return storage;
}

/* Whole pages are unmapped. */
static void unmap(const struct storage *storage)
{
	size_t before = (uintptr_t)storage->memory % (uintptr_t)sysconf(_SC_PAGESIZE);
	munmap(storage->memory - before, storage->mapped + before);
}

static void end_backing(const struct storage *storage)
{
	close(storage->backing);
	atomic_fetch_sub(storage->backings, 1);
}

void storage_unref(struct storage *storage)
{
	if (!storage || atomic_fetch_sub(&storage->refs, 1) != 1)
		return;
	struct slice *whole = atomic_load(&storage->whole);
	if (whole) {
		slice_done(whole);
		free(whole);
	}
	if (storage->counter)
		atomic_fetch_sub(storage->counter, storage->charged);
	if (storage->fd >= 0)
		close(storage->fd);
	if (storage->secret)
		sodium_memzero(storage->memory, storage->mapped);
	if (storage->backing >= 0)
		end_backing(storage);
	if (storage->mapped)
		unmap(storage);
	else
		free(storage->memory);
	free(storage);
}

bool storage_is_shared(const struct storage *storage)
{
	return storage && atomic_load(&storage->refs) > 1;
}

void storage_charge(struct storage *storage, atomic_uint_least64_t *counter, uint64_t bytes)
{
	storage->counter = counter;
	storage->charged = bytes;
}

bool storage_is_charged(const struct storage *storage)
{
	return storage && storage->charged > 0;
}

int storage_fd(const struct storage *storage)
{
	return storage->fd;
}

void slice_new(struct storage *storage, uint64_t offset, uint64_t length, struct slice *ret)
{
	*ret = (struct slice){.storage = storage_ref(storage), .offset = offset, .length = length};
}

int slice_new_copy(const void *bytes, size_t n, struct slice *ret)
{
	cleanup_free uint8_t *copy = malloc(n ? n : 1);
	struct storage *storage;
	if (!copy)
		return -ENOMEM;
	if (n)
		memcpy(copy, bytes, n);
	int r = storage_new_memory(copy, &storage);
	if (r < 0)
		return r;
	copy = NULL;
	*ret = (struct slice){.storage = storage, .length = n};
	return 0;
}

int slice_new_partial(const void *first, size_t n, uint64_t size, struct slice *ret)
{
	struct storage *storage;
	int r = storage_new_partial(first, n, &storage);
	if (r < 0)
		return r;
	slice_new(storage, 0, size, ret);
	storage_unref(storage);
	return 0;
}

int slice_sub(const struct slice *slice, uint64_t offset, uint64_t length, struct slice *ret)
{
	if (offset > slice->length || length > slice->length - offset)
		return -ERANGE;
	slice_new(slice->storage, slice->offset + offset, length, ret);
	return 0;
}

void slice_copy(const struct slice *slice, struct slice *ret)
{
	slice_new(slice->storage, slice->offset, slice->length, ret);
}

void slice_done(struct slice *slice)
{
	storage_unref(slice->storage);
	*slice = (struct slice){0};
}

const uint8_t *slice_memory(const struct slice *slice)
{
	const struct storage *s = slice->storage;
	const struct slice *whole = s ? whole_of(s) : NULL;
	const uint8_t *memory = whole ? slice_memory(whole) : s ? s->memory : NULL;
	return memory ? memory + slice->offset : NULL;
}

int slice_backing(const struct slice *slice)
{
	const struct storage *s = slice->storage;
	const struct slice *whole = s ? whole_of(s) : NULL;
	if (whole)
		return slice_backing(&(struct slice){whole->storage, whole->offset + slice->offset, slice->length});
	return s && slice->length > 0 && slice->offset == s->backed_from && slice->length == s->backed_length ? s->backing : -1;
}

/* What a filesystem says of its own disk in words that would be a verdict of the entry. */
static int read_error(int number)
{
	switch (number) {
	case ENOENT:
	case EUCLEAN:
	case EBADMSG:
	case EFBIG:
	case ENODATA:
	case ENOKEY:
	case EOPNOTSUPP:
		return -EIO;
	default:
		return -number;
	}
}

int slice_read(const struct slice *slice, uint64_t offset, void *buf, size_t n)
{
	if (offset > slice->length || n > slice->length - offset)
		return -ERANGE;
	if (n == 0)
		return 0;
	uint64_t at = slice->offset + offset;
	if (slice->storage->memory) {
		memcpy(buf, slice->storage->memory + at, n);
		return 0;
	}
	if (at < slice->storage->first_length && n <= slice->storage->first_length - at) {
		memcpy(buf, slice->storage->first + at, n);
		return 0;
	}
	if (slice->storage->partial) {
		const struct slice *whole = whole_of(slice->storage);
		return whole ? slice_read(whole, at, buf, n) : -ENODATA;
	}
	uint8_t *to = buf;
	while (n > 0) {
		ssize_t got = pread(slice->storage->fd, to, n, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return read_error(errno);
		if (got == 0)
			return -EIO;
		to += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}
