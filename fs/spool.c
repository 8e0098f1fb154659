#include "ckfs/spool.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

/* Counts n bytes of memory, if they still fit. */
static bool charge(struct spool *spool, uint64_t n)
{
	if (atomic_fetch_add(&spool->memory_used, n) + n <= spool->memory_max)
		return true;
	atomic_fetch_sub(&spool->memory_used, n);
	return false;
}

int spool_begin(struct spool *spool, uint64_t capacity, struct spool_writer *ret)
{
	struct spool_writer w = {.fd = -1, .capacity = capacity};
	if (capacity <= SPOOL_SMALL) {
		w.memory = malloc(capacity ? capacity : 1);
		if (!w.memory)
			return -ENOMEM;
	} else if (charge(spool, capacity)) {
		w.charged = spool;
		w.fd = memfd_create("ckfs", MFD_CLOEXEC);
	} else {
		w.fd = open(spool->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	}
	if (!w.memory && w.fd < 0) {
		int r = -errno;
		if (w.charged)
			atomic_fetch_sub(&spool->memory_used, capacity);
		return r;
	}
	*ret = w;
	return 0;
}

int spool_write(struct spool_writer *writer, const void *bytes, size_t n)
{
	if (n > writer->capacity - writer->length)
		return -EFBIG;
	if (writer->memory) {
		memcpy(writer->memory + writer->length, bytes, n);
		writer->length += n;
		return 0;
	}
	const uint8_t *p = bytes;
	while (n > 0) {
		ssize_t put = pwrite(writer->fd, p, n, (off_t)writer->length);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		p += put;
		n -= (size_t)put;
		writer->length += (uint64_t)put;
	}
	return 0;
}

int spool_restart(struct spool_writer *writer)
{
	writer->length = 0;
	return writer->fd >= 0 && ftruncate(writer->fd, 0) < 0 ? -errno : 0;
}

int spool_end(struct spool_writer *writer, struct slice *ret)
{
	struct storage *storage;
	int r = writer->memory ? storage_new_memory(writer->memory, &storage) : storage_new_fd(writer->fd, &storage);
	if (r < 0) {
		spool_abort(writer);
		return r;
	}
	if (writer->charged) {
		/* What was reserved was an upper bound. */
		atomic_fetch_sub(&writer->charged->memory_used, writer->capacity - writer->length);
		storage_charge(storage, &writer->charged->memory_used, writer->length);
	}
	slice_new(storage, 0, writer->length, ret);
	storage_unref(storage);
	*writer = (struct spool_writer){.fd = -1};
	return 0;
}

void spool_abort(struct spool_writer *writer)
{
	if (writer->fd >= 0)
		close(writer->fd);
	free(writer->memory);
	if (writer->charged)
		atomic_fetch_sub(&writer->charged->memory_used, writer->capacity);
	*writer = (struct spool_writer){.fd = -1};
}
