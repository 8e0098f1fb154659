#include "ckfs/spool.h"

#include "spool_file.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

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

/*
 * What the directory cannot do is no property of the content, and must not look like one: EUCLEAN of a broken disk would be a malformed
 * entry, EFBIG of a limit on file sizes one that is too large. Here all of it gets its errno.
 */
static int disk_outcome(struct spool *spool, int r)
{
	/* These are not the directory's. */
	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	if (atomic_exchange(&spool->trouble, -r) == 0 && r < 0)
		atomic_fetch_add(&spool->losses, 1);
	return r == 0 ? 0 : r == -ENOSPC || r == -EDQUOT ? -ENOSPC : SPOOL_UNUSABLE;
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

/* Moves what there is into other memory, which is mapped from a descriptor or (-1) from none. */
static void move_to(struct spool_writer *w, void *memory, uint64_t capacity, int fd, bool on_disk)
{
	uint64_t length = spool_length(w);
	if (length > 0)
		memcpy(memory, w->memory, length);
	release_memory(w);
	w->mapped = true;
	w->fd = fd;
	w->on_disk = on_disk;
	set_memory(w, memory, capacity, length);
}

/* Memory by way of a descriptor. -1: there is none to be had, and plain memory has to do; a limit on the size of files counts here, too. */
static int memfd_new(uint64_t size)
{
	int fd = memfd_create("ckfs", MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, (off_t)size) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int move_to_memory(struct spool_writer *w, uint64_t capacity, bool growing)
{
	cleanup_close int fd = growing ? memfd_new(capacity) : -1;
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *memory = mmap(NULL, capacity, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	if (fd < 0)
		(void)madvise(memory, capacity, MADV_HUGEPAGE);
	move_to(w, memory, capacity, steal_fd(&fd), false);
	return 0;
}

static int move_to_disk(struct spool_writer *w, uint64_t capacity)
{
	struct spool *spool = w->spool;
	void *memory;
	int fd, r = spool_file_new(spool->directory, capacity, &fd, &memory);
	if ((r == -EMFILE || r == -ENFILE) && spool->make_room) {
		/* What is only kept holds descriptors. */
		spool->make_room(spool->arg, 0);
		r = spool_file_new(spool->directory, capacity, &fd, &memory);
	}
	if (r < 0)
		return r;
	move_to(w, memory, capacity, fd, true);
	discharge(w, w->charged);
	return 0;
}

/* What is locked cannot grow past the limit on locked memory: the rest of it is not locked then. */
static void *remap(const struct spool_writer *w, uint64_t capacity)
{
	void *memory = mremap(w->memory, w->capacity, capacity, MREMAP_MAYMOVE);
	if (memory != MAP_FAILED || errno != EAGAIN || !w->secret)
		return memory;
	(void)munlock(w->memory, w->capacity);
	memory = mremap(w->memory, w->capacity, capacity, MREMAP_MAYMOVE);
	if (memory != MAP_FAILED)
		(void)mlock(memory, w->capacity);
	return memory;
}

static int grow_mapping(struct spool_writer *w, uint64_t capacity)
{
	uint64_t length = spool_length(w);
	int r = w->on_disk ? spool_file_grow(w->fd, capacity) : 0;
	if (r < 0)
		return r;
	if (w->fd >= 0 && !w->on_disk && ftruncate(w->fd, (off_t)capacity) < 0)
		return move_to_memory(w, capacity, false);
	void *memory = remap(w, capacity);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	set_memory(w, memory, capacity, length);
	return 0;
}

static int grow_memory(struct spool_writer *w, uint64_t capacity, bool growing)
{
	return w->mapped ? grow_mapping(w, capacity) : move_to_memory(w, capacity, growing);
}

/* Lets go of n bytes that are only kept, though they would fit: there is no more memory to be had. */
static void give_way(struct spool *spool, uint64_t n)
{
	uint64_t used = atomic_load(&spool->memory_used), rest = used > n ? used - n : 0;
	spool->make_room(spool->arg, rest < spool->memory_max ? spool->memory_max - rest : 0);
}

/* Room for `capacity` bytes in all, more than before. 0; -ENOMEM; what disk_outcome() says. */
static int grow_to(struct spool_writer *w, uint64_t capacity, bool growing)
{
	capacity = (capacity + PAGE - 1) / PAGE * PAGE;
	if (w->on_disk)
		return disk_outcome(w->spool, grow_mapping(w, capacity));
	uint64_t more = capacity - w->charged;
	if (!charge_writer(w, more))
		return disk_outcome(w->spool, move_to_disk(w, capacity));
	int r = grow_memory(w, capacity, growing);
	if (r == -ENOMEM && w->spool->make_room) {
		give_way(w->spool, capacity);
		r = grow_memory(w, capacity, growing);
	}
	if (r < 0)
		discharge(w, more);
	return r;
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

/* Gives back what the content did not need, as far as that goes. */
static void trim(struct spool_writer *w)
{
	uint64_t length = spool_length(w), needed = length ? (length + PAGE - 1) / PAGE * PAGE : PAGE;
	if (needed < w->capacity) {
		if (w->secret)
			sodium_memzero(w->memory + needed, w->capacity - needed);
		if (mremap(w->memory, w->capacity, needed, 0) == MAP_FAILED)
			return;
		w->capacity = needed;
		if (w->fd >= 0 && ftruncate(w->fd, (off_t)needed) < 0)
			return;
	}
	if (w->charged > needed)
		discharge(w, w->charged - needed);
}

int spool_end(struct spool_writer *writer, struct slice *ret)
{
	struct storage *storage;
	uint64_t length = spool_length(writer);
	if (writer->mapped)
		trim(writer);
	int r = writer->mapped ? storage_new_mapping(writer->memory, writer->capacity, writer->secret, &storage)
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
