/* One piece of content: where it goes, what is counted of it, and who owns it. In one file, since each move changes all three. */
#include "spool_private.h"

#include <string.h>

/* Where content outgrows what it claimed, the address space for it grows by halves, but at least by this. */
#define GROWTH_MIN (UINT64_C(1) << 20)

/* No content is larger. */
#define SIZE_LIMIT (UINT64_C(1) << 62)

/* What small content costs besides its bytes: without it millions of tiny ones would count as nothing. */
#define SMALL_COST 256

bool spool_fits(const struct spool *spool, uint64_t n)
{
	uint64_t used = atomic_load(&spool->memory_used);
	return n <= spool->memory_max && used <= spool->memory_max - n;
}

uint64_t spool_secret_max(const struct spool *spool)
{
	return spool->memory_max < SIZE_LIMIT ? spool->memory_max + SPOOL_SECRET_MORE : spool->memory_max;
}

static bool charge(struct spool *spool, uint64_t n, uint64_t max)
{
	uint64_t used = atomic_load(&spool->memory_used);
	do
		if (n > max || used > max - n)
			return false;
	while (!atomic_compare_exchange_weak(&spool->memory_used, &used, used + n));
	return true;
}

/* Counts n more bytes of memory, if they fit once what is only kept has given way. What is secret has nowhere else to go. */
static bool charge_writer(struct spool_writer *w, uint64_t n)
{
	struct spool *spool = w->spool;
	bool fits = charge(spool, n, spool->memory_max);
	if (!fits && spool->make_room) {
		spool->make_room(spool->arg, n);
		fits = charge(spool, n, spool->memory_max);
	}
	if (!fits && w->secret)
		fits = charge(spool, n, spool_secret_max(spool));
	if (fits)
		w->charged += n;
	return fits;
}

static void discharge(struct spool_writer *w, uint64_t n)
{
	atomic_fetch_sub(&w->spool->memory_used, n);
	w->charged -= n;
}

/* Lets what was granted be written, behind so many bytes that are. */
static void set_sink(struct spool_writer *w, uint64_t length)
{
	w->sink.p = w->at.memory + length;
	w->sink.end = w->at.memory + w->at.granted;
}

static void release_content(struct spool_writer *w)
{
	if (w->place == SPOOL_IN_HEAP)
		free(w->at.memory);
	else
		spool_unmap(&w->at, w->secret);
}

/* Moves what there is to another place, where as much of it may be written. */
static void move_to(struct spool_writer *w, const struct spool_mapping *to, bool on_disk)
{
	uint64_t length = spool_length(w);
	if (length > 0)
		memcpy(to->memory, w->at.memory, length);
	release_content(w);
	w->place = on_disk ? SPOOL_ON_DISK : SPOOL_IN_MEMORY;
	w->at = *to;
	set_sink(w, length);
	if (w->secret)
		spool_memory_hide(&w->at);
}

/* Whether content of this size is to be read by the kernel itself. What is secret is wiped at its end, whoever has it mapped then. */
static bool is_to_be_backed(const struct spool_writer *w, uint64_t size)
{
	return w->spool->backs && !w->secret && size >= SPOOL_BACKED_MIN;
}

static int move_to_memory(struct spool_writer *w, uint64_t capacity, bool growing)
{
	struct spool_mapping to;
	const bool backed = is_to_be_backed(w, capacity);
	const struct spool_claim claim = {.capacity = capacity, .granted = w->at.granted, .growing = growing, .backed = backed, .head = backed ? w->head : 0};
	int r = spool_memory_new(w->spool, &claim, &to);
	if (r == 0)
		move_to(w, &to, false);
	return r;
}

static int move_to_disk(struct spool_writer *w, uint64_t capacity)
{
	struct spool *spool = w->spool;
	struct spool_mapping to;
	int r = spool_disk_new(spool, capacity, w->at.granted, &to);
	if ((r == -EMFILE || r == -ENFILE) && spool->make_room) {
		/* What is only kept holds descriptors. */
		spool->make_room(spool->arg, 0);
		r = spool_disk_new(spool, capacity, w->at.granted, &to);
	}
	if (r < 0)
		return r;
	move_to(w, &to, true);
	discharge(w, w->charged);
	return 0;
}

/* More address space for what has a descriptor. */
static int widen_mapping(struct spool_writer *w, uint64_t capacity)
{
	uint64_t length = spool_length(w);
	int r = w->place == SPOOL_ON_DISK ? spool_disk_lengthen(w->spool, &w->at, capacity) : 0;
	if (w->place == SPOOL_IN_MEMORY && !spool_memory_lengthen(&w->at, capacity))
		return move_to_memory(w, capacity, false);
	if (r == 0)
		r = spool_remap(&w->at, capacity, w->secret);
	if (r == 0)
		set_sink(w, length);
	return r;
}

/* Address space for `capacity` bytes. What cannot fit in memory is on the disk from the beginning, so that nothing gives way to it. */
static int widen(struct spool_writer *w, uint64_t capacity, bool growing)
{
	if (w->place != SPOOL_IN_HEAP && w->at.fd >= 0 && w->at.head == 0)
		return widen_mapping(w, capacity);
	if (!w->secret && capacity > w->spool->memory_max)
		return move_to_disk(w, capacity);
	return move_to_memory(w, capacity, growing);
}

/* As many bytes as are granted for n, in whole steps; of addresses, where there may be huge pages. */
static uint64_t grant_for(const struct spool_writer *w, uint64_t n)
{
	uint64_t before = w->at.fd < 0 ? (uintptr_t)w->at.memory % SPOOL_STEP : 0;
	uint64_t end = (before + n + SPOOL_STEP - 1) / SPOOL_STEP * SPOOL_STEP - before;
	return end < w->at.capacity ? end : w->at.capacity;
}

/* Lets so many bytes of what has its addresses be written. */
static int grant_to(struct spool_writer *w, uint64_t to)
{
	uint64_t length = spool_length(w);
	int r = w->place == SPOOL_ON_DISK ? spool_disk_grant(w->spool, &w->at, to) : spool_memory_grant(&w->at, to, w->secret);
	if (r == 0)
		set_sink(w, length);
	return r;
}

/* Lets the first n bytes be written, and some more: this is where they are counted, locked and taken from a disk. */
static int grant(struct spool_writer *w, uint64_t n)
{
	uint64_t to = grant_for(w, n), more = to - w->at.granted;
	if (n <= w->at.granted)
		return 0;
	if (w->place == SPOOL_ON_DISK)
		return grant_to(w, to);
	/* What was small was counted with what it costs besides. */
	if (w->charged > w->at.granted)
		discharge(w, w->charged - w->at.granted);
	if (charge_writer(w, more)) {
		int r = grant_to(w, to);
		if (r < 0)
			discharge(w, more);
		return r;
	}
	if (w->secret)
		return -ENOMEM;
	int r = move_to_disk(w, w->at.capacity);
	return r < 0 ? r : grant_to(w, grant_for(w, n));
}

/* Lets go of n bytes that are only kept, though they would fit: there is no more memory to be had. */
static void give_way(struct spool *spool, uint64_t n)
{
	uint64_t used = atomic_load(&spool->memory_used), rest = used > n ? used - n : 0;
	spool->make_room(spool->arg, rest < spool->memory_max ? spool->memory_max - rest : 0);
}

static int try_room(struct spool_writer *w, uint64_t n, uint64_t capacity, bool growing)
{
	int r = capacity > w->at.capacity || w->place == SPOOL_IN_HEAP ? widen(w, capacity, growing) : 0;
	return r < 0 ? r : grant(w, n);
}

/* Room for n bytes, with address space for `capacity`. 0; -ENOMEM; as of spool_disk_new(). */
static int make_room(struct spool_writer *w, uint64_t n, uint64_t capacity, bool growing)
{
	/* What lies behind a head ends where a page of its file does, not of memory. */
	if (capacity > w->at.capacity)
		capacity = spool_whole_pages(capacity);
	int r = try_room(w, n, capacity, growing);
	if (r == -ENOMEM && w->spool->make_room) {
		give_way(w->spool, capacity - w->at.granted);
		r = try_room(w, n, capacity, growing);
	}
	return r;
}

static int more(struct sink *sink, size_t n)
{
	struct spool_writer *w = (struct spool_writer *)sink;
	uint64_t length = spool_length(w), step = w->at.capacity / 2, capacity = w->at.capacity;
	if (n > SIZE_LIMIT - length)
		return -EFBIG;
	if (step < GROWTH_MIN)
		step = GROWTH_MIN;
	if (length + n > capacity)
		capacity = n > step ? length + n : capacity + step;
	return make_room(w, length + n, capacity, true);
}

/* Small content is plain memory, if that fits. */
static int begin_small(struct spool_writer *w, uint64_t size)
{
	if (!charge_writer(w, size + SMALL_COST))
		return move_to_disk(w, spool_whole_pages(size + 1));
	w->at.memory = malloc(size ? size : 1);
	if (!w->at.memory) {
		discharge(w, w->charged);
		return -ENOMEM;
	}
	w->at.capacity = w->at.granted = size;
	set_sink(w, 0);
	return 0;
}

static int begin(struct spool *spool, uint64_t size, uint64_t head, bool secret, bool growing, struct spool_writer *ret)
{
	*ret = (struct spool_writer){.sink.more = more, .spool = spool, .secret = secret, .head = head, .at.fd = -1};
	if (size > SIZE_LIMIT)
		return -EFBIG;
	/* Plain memory cannot be kept from a core dump, nor be locked alone. */
	bool large = size > SPOOL_SMALL || secret;
	int r = large ? make_room(ret, 1, size ? size : 1, growing) : begin_small(ret, size);
	if (r < 0)
		spool_abort(ret);
	return r;
}

int spool_begin(struct spool *spool, uint64_t size, bool secret, struct spool_writer *ret)
{
	return begin(spool, size, 0, secret, false, ret);
}

int spool_begin_value(struct spool *spool, uint64_t size, const void *first, size_t n, struct spool_writer *ret)
{
	const bool backed = spool->backs && size >= SPOOL_BACKED_MIN && spool->head_of;
	int r = begin(spool, size, backed ? spool->head_of(first, n, size) : 0, false, false, ret);
	if (r < 0)
		return r;
	r = spool_write(ret, first, n);
	if (r < 0)
		spool_abort(ret);
	return r;
}

int spool_begin_growing(struct spool *spool, uint64_t size, bool secret, struct spool_writer *ret)
{
	return begin(spool, size, 0, secret, true, ret);
}

uint64_t spool_length(const struct spool_writer *writer)
{
	return (uint64_t)(writer->sink.p - writer->at.memory);
}

uint8_t *spool_bytes(const struct spool_writer *writer)
{
	return writer->at.memory;
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
	writer->sink.p = writer->at.memory;
}

/* Gives back what the content did not need. */
static void trim(struct spool_writer *w, struct storage *storage)
{
	if (spool_trim(&w->at, spool_length(w), w->secret) && w->charged > w->at.capacity)
		discharge(w, w->charged - w->at.capacity);
	storage_trim(storage, w->at.capacity);
}

/* Keeps the descriptor of content that is whole, or closes it. */
static void end_descriptor(struct spool_writer *w, uint64_t length, struct storage *storage)
{
	struct spool *spool = w->spool;
	const uint64_t head = w->at.head;
	bool backed = w->place == SPOOL_IN_MEMORY && length > head && is_to_be_backed(w, length - head);
	if (backed && atomic_fetch_add(&spool->backings, 1) >= spool->backings_max) {
		atomic_fetch_sub(&spool->backings, 1);
		backed = false;
	}
	if (backed)
		storage_back(storage, w->at.fd, head, length - head, &spool->backings);
	else
		/* What is mapped stays when its descriptor is closed. */
		close(w->at.fd);
}

int spool_end(struct spool_writer *writer, struct slice *ret)
{
	struct storage *storage;
	const bool mapped = writer->place != SPOOL_IN_HEAP;
	uint64_t length = spool_length(writer);
	int r = mapped ? storage_new_mapping(writer->at.memory, writer->at.capacity, writer->secret, &storage)
		       : storage_new_memory(writer->at.memory, &storage);
	if (r < 0)
		return r;
	if (mapped)
		trim(writer, storage);
	if (writer->place == SPOOL_ON_DISK)
		spool_disk_works(writer->spool);
	storage_charge(storage, &writer->spool->memory_used, writer->charged);
	if (mapped && writer->at.fd >= 0)
		end_descriptor(writer, length, storage);
	slice_new(storage, 0, length, ret);
	storage_unref(storage);
	*writer = (struct spool_writer){.at.fd = -1};
	return 0;
}

void spool_abort(struct spool_writer *writer)
{
	release_content(writer);
	if (writer->charged)
		discharge(writer, writer->charged);
	*writer = (struct spool_writer){.at.fd = -1};
}
