#include "ckfs/spool.h"

#include "ckfs/cleanup.h"
#include "ckfs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>

/* Content whose size nobody knows grows by halves of itself, but at least by this. */
#define GROWTH_MIN (UINT64_C(1) << 20)

#define PAGE UINT64_C(4096)

/* No content is larger. */
#define SIZE_LIMIT (UINT64_C(1) << 62)

/* What small content costs besides its bytes: without it millions of tiny ones would count as nothing. */
#define SMALL_COST 256

bool spool_fits(const struct spool *spool, uint64_t n)
{
	uint64_t used = atomic_load(&spool->memory_used);
	return n <= spool->memory_max && used <= spool->memory_max - n;
}

static bool charge(struct spool *spool, uint64_t n)
{
	if (atomic_fetch_add(&spool->memory_used, n) + n <= spool->memory_max)
		return true;
	atomic_fetch_sub(&spool->memory_used, n);
	return false;
}

/* Counts n more bytes of memory, if they fit once what is only kept has given way. What is secret has nowhere else to go. */
static bool charge_writer(struct spool_writer *w, uint64_t n)
{
	struct spool *spool = w->spool;
	bool fits = charge(spool, n);
	if (!fits && spool->make_room) {
		spool->make_room(spool->arg, n);
		fits = charge(spool, n);
	}
	if (!fits && w->secret) {
		atomic_fetch_add(&spool->memory_used, n);
		fits = true;
	}
	if (fits)
		w->charged += n;
	return fits;
}

static void discharge(struct spool_writer *w, uint64_t n)
{
	atomic_fetch_sub(&w->spool->memory_used, n);
	w->charged -= n;
}

/* Makes the descriptor `size` long. A file's blocks are taken at once: a full disk must not show as a broken mapping. */
static int resize(int fd, bool on_disk, uint64_t size)
{
	int r = on_disk ? EINTR : 0;
	while (r == EINTR)
		r = posix_fallocate(fd, 0, (off_t)size);
	if (on_disk)
		return -r;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

/* What is allowed of it is done: a limit on locked memory must not keep anybody from reading. */
static void protect(const struct spool_writer *w)
{
	if (!w->secret)
		return;
	(void)madvise(w->memory, w->capacity, MADV_DONTDUMP);
	(void)mlock(w->memory, w->capacity);
}

static void set_memory(struct spool_writer *w, void *memory, uint64_t capacity, uint64_t length)
{
	w->memory = memory;
	w->capacity = capacity;
	w->sink.p = w->memory + length;
	w->sink.end = w->memory + capacity;
	if (w->mapped)
		protect(w);
}

static void release_memory(struct spool_writer *w)
{
	if (w->secret && w->memory)
		sodium_memzero(w->memory, w->capacity);
	if (w->mapped)
		munmap(w->memory, w->capacity);
	else
		free(w->memory);
	if (w->fd >= 0)
		close(w->fd);
}

/* Maps `capacity` bytes, of a descriptor or (-1) of memory, and moves what there is into them. */
static int move_to(struct spool_writer *w, int fd, bool on_disk, uint64_t capacity)
{
	uint64_t length = spool_length(w);
	int r = fd < 0 ? 0 : resize(fd, on_disk, capacity);
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *memory = r < 0 ? MAP_FAILED : mmap(NULL, capacity, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (memory == MAP_FAILED)
		return r < 0 ? r : -errno;
	if (fd < 0)
		(void)madvise(memory, capacity, MADV_HUGEPAGE);
	if (length > 0)
		memcpy(memory, w->memory, length);
	release_memory(w);
	w->mapped = true;
	w->fd = fd;
	w->on_disk = on_disk;
	set_memory(w, memory, capacity, length);
	return 0;
}

static int move_to_memfd(struct spool_writer *w, uint64_t capacity)
{
	int fd = memfd_create("ckfs", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : move_to(w, fd, false, capacity);
	if (r < 0 && fd >= 0)
		close(fd);
	return r;
}

/* A file without a name. Where the filesystem has none, it has one for a moment. */
static int open_unnamed(const char *directory)
{
	cleanup_free char *name = NULL;
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	if (asprintf(&name, "%s/.ckfs-XXXXXX", directory) < 0)
		return -1;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

static int move_to_disk(struct spool_writer *w, uint64_t capacity)
{
	int fd = open_unnamed(w->spool->directory);
	int r = fd < 0 ? -errno : move_to(w, fd, true, capacity);
	if (r < 0 && fd >= 0)
		close(fd);
	if (r == 0)
		discharge(w, w->charged);
	return r;
}

static int grow_mapping(struct spool_writer *w, uint64_t capacity)
{
	uint64_t length = spool_length(w);
	int r = w->fd < 0 ? 0 : resize(w->fd, w->on_disk, capacity);
	if (r < 0)
		return r;
	void *memory = mremap(w->memory, w->capacity, capacity, MREMAP_MAYMOVE);
	if (memory == MAP_FAILED)
		return -errno;
	set_memory(w, memory, capacity, length);
	return 0;
}

/*
 * What is wrong with our own storage is no property of an entry: here is the one place where it gets its errno, of those that say nothing of one. It is
 * logged when it begins.
 */
static int disk_outcome(struct spool *spool, int r)
{
	if (atomic_exchange(&spool->in_trouble, r < 0) != (r < 0) && r < 0)
		log_line(LOG_ERR, "spool_dir %.300s: %s; values that do not fit into cache_size cannot be shown", spool->directory, strerror(-r));
	switch (r) {
	case 0:
	case -ENOMEM:
	case -ENOSPC:
		return r;
	case -EDQUOT:
		return -ENOSPC;
	case -EMFILE:
	case -ENFILE:
		return -EMFILE;
	default:
		return -EIO;
	}
}

static int grow_on_disk(struct spool_writer *w, uint64_t capacity)
{
	return disk_outcome(w->spool, w->on_disk ? grow_mapping(w, capacity) : move_to_disk(w, capacity));
}

static int grow_in_memory(struct spool_writer *w, uint64_t capacity, bool growing)
{
	int r = w->mapped ? grow_mapping(w, capacity) : growing ? move_to_memfd(w, capacity) : move_to(w, -1, false, capacity);
	/* A limit of files, their number or size, is none of memory. */
	if (r < 0 && r != -ENOMEM)
		r = move_to(w, -1, false, capacity);
	return r < 0 ? -ENOMEM : 0;
}

/* Room for `capacity` bytes in all, more than before. */
static int grow_to(struct spool_writer *w, uint64_t capacity, bool growing)
{
	capacity = (capacity + PAGE - 1) / PAGE * PAGE;
	uint64_t more = capacity - w->charged;
	if (w->on_disk || !charge_writer(w, more))
		return grow_on_disk(w, capacity);
	int r = grow_in_memory(w, capacity, growing);
	if (r < 0)
		discharge(w, more);
	return r;
}

int spool_check(const char *directory, struct error *error)
{
	struct spool spool = {.directory = directory};
	struct spool_writer w = {.spool = &spool, .fd = -1};
	int r = move_to_disk(&w, PAGE);
	if (r < 0)
		return error_set(error, r, "spool_dir %.300s: %s; values that do not fit into cache_size go there, -o spool_dir=DIR names another place", directory,
			strerror(-r));
	spool_abort(&w);
	return 0;
}

static int more(struct sink *sink, size_t n)
{
	struct spool_writer *w = (struct spool_writer *)sink;
	uint64_t length = spool_length(w), step = w->capacity / 2;
	if (n > SIZE_LIMIT - length)
		return -EFBIG;
	if (step < GROWTH_MIN)
		step = GROWTH_MIN;
	return grow_to(w, n > step ? length + n : w->capacity + step, true);
}

static int begin(struct spool *spool, uint64_t size, bool secret, bool growing, struct spool_writer *ret)
{
	*ret = (struct spool_writer){.sink.more = more, .spool = spool, .secret = secret, .fd = -1};
	if (size > SIZE_LIMIT)
		return -EFBIG;
	/* Plain memory cannot be kept from a core dump, nor be locked alone. */
	if (size > SPOOL_SMALL || secret)
		return grow_to(ret, size ? size : 1, growing);
	void *memory = malloc(size ? size : 1);
	if (!memory)
		return -ENOMEM;
	ret->charged = size + SMALL_COST;
	atomic_fetch_add(&spool->memory_used, ret->charged);
	set_memory(ret, memory, size, 0);
	return 0;
}

int spool_begin(struct spool *spool, uint64_t size, bool secret, struct spool_writer *ret)
{
	return begin(spool, size, secret, false, ret);
}

int spool_begin_growing(struct spool *spool, uint64_t size, bool secret, struct spool_writer *ret)
{
	return begin(spool, size, secret, true, ret);
}

uint64_t spool_length(const struct spool_writer *writer)
{
	return (uint64_t)(writer->sink.p - writer->memory);
}

int spool_write(struct spool_writer *writer, const void *bytes, size_t n)
{
	int r = sink_room(&writer->sink, n);
	if (r == 0 && n > 0) {
		memcpy(writer->sink.p, bytes, n);
		writer->sink.p += n;
	}
	return r;
}

void spool_restart(struct spool_writer *writer)
{
	writer->sink.p = writer->memory;
}

/* Gives back what the content did not need. */
static int trim(struct spool_writer *w)
{
	uint64_t length = spool_length(w), needed = length ? (length + PAGE - 1) / PAGE * PAGE : PAGE;
	if (needed < w->capacity) {
		if (w->secret)
			sodium_memzero(w->memory + needed, w->capacity - needed);
		void *memory = mremap(w->memory, w->capacity, needed, 0);
		if (memory == MAP_FAILED)
			return -errno;
		w->capacity = needed;
		/* What cannot be given back stays until the content goes. */
		if (w->fd >= 0 && ftruncate(w->fd, (off_t)needed) < 0)
			return 0;
	}
	if (w->charged > needed)
		discharge(w, w->charged - needed);
	return 0;
}

int spool_end(struct spool_writer *writer, struct slice *ret)
{
	struct storage *storage;
	uint64_t length = spool_length(writer);
	int r = writer->mapped ? trim(writer) : 0;
	if (r == 0)
		r = writer->mapped ? storage_new_mapping(writer->memory, writer->capacity, writer->secret, &storage)
				   : storage_new_memory(writer->memory, &storage);
	if (r < 0) {
		spool_abort(writer);
		return r;
	}
	storage_charge(storage, &writer->spool->memory_used, writer->charged);
	slice_new(storage, 0, length, ret);
	storage_unref(storage);
	/* What is mapped stays when its descriptor is closed. */
	if (writer->fd >= 0)
		close(writer->fd);
	*writer = (struct spool_writer){.fd = -1};
	return 0;
}

void spool_abort(struct spool_writer *writer)
{
	release_memory(writer);
	if (writer->charged)
		discharge(writer, writer->charged);
	*writer = (struct spool_writer){.fd = -1};
}
