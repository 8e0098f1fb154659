#include "spool_private.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/mman.h>

/* What the kernel maps at once, where it can. */
#define HUGE_PAGE (UINT64_C(2) << 20)

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t spool_whole_pages(uint64_t n)
{
	return (n + page_size() - 1) / page_size() * page_size();
}

/* -1: there is none to be had, and plain memory has to do; a limit on the size of files counts here, too. */
static int file_new(const struct spool *spool, bool small_pages_do, uint64_t size)
{
	cleanup_close int fd = !spool->huge ? -1 : openat(spool->huge, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && small_pages_do)
		fd = memfd_create("ckfs", MFD_CLOEXEC);
	return fd >= 0 && ftruncate(fd, (off_t)size) < 0 ? -1 : steal_fd(&fd);
}

/* Maps a file behind plain memory for a head, so that a huge page of the file begins where a huge page can be mapped. NULL without memory. */
static uint8_t *map_behind(uint64_t head, int fd, uint64_t size)
{
	const uint64_t before = spool_whole_pages(head), all = before + size + HUGE_PAGE;
	uint8_t *from = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (from == MAP_FAILED)
		return NULL;
	const uint64_t skipped = -((uintptr_t)from + before) % HUGE_PAGE;
	uint8_t *file = from + skipped + before;
	if (mmap(file, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) == MAP_FAILED ||
		mprotect(file - before, before, PROT_READ | PROT_WRITE) < 0) {
		munmap(from, all);
		return NULL;
	}
	if (skipped > 0)
		munmap(from, skipped);
	munmap(file + size, HUGE_PAGE - skipped);
	return file - head;
}

static int new_file(const struct spool_claim *claim, int *fd, struct spool_mapping *ret)
{
	const uint64_t head = claim->head, size = spool_whole_pages(claim->capacity - head);
	uint8_t *memory;
	if (head > 0)
		memory = map_behind(head, *fd, size);
	else
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *fd, 0);
	if (!memory || memory == MAP_FAILED)
		return -ENOMEM;
	*ret = (struct spool_mapping){.memory = memory, .capacity = head + size, .granted = claim->granted, .head = head, .fd = steal_fd(fd)};
	return 0;
}

int spool_memory_new(const struct spool *spool, const struct spool_claim *claim, struct spool_mapping *ret)
{
	const uint64_t capacity = claim->capacity, granted = claim->granted;
	cleanup_close int fd = claim->growing || claim->backed ? file_new(spool, claim->growing, capacity - claim->head) : -1;
	if (fd >= 0)
		return new_file(claim, &fd, ret);
	void *memory = mmap(NULL, capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(memory, capacity, MADV_HUGEPAGE);
	if (granted > 0 && mprotect(memory, granted, PROT_READ | PROT_WRITE) < 0) {
		munmap(memory, capacity);
		return -ENOMEM;
	}
	*ret = (struct spool_mapping){.memory = memory, .capacity = capacity, .granted = granted, .fd = -1};
	return 0;
}

/* What is allowed of it is done: a limit on locked memory must not keep anybody from reading. */
static void lock_bytes(const struct spool_mapping *mapping, uint64_t from, uint64_t to)
{
	(void)mlock(mapping->memory + from, to - from);
}

int spool_memory_grant(struct spool_mapping *mapping, uint64_t to, bool secret)
{
	/* What was small ends within a page, which may be written already. */
	uint64_t from = mapping->granted / page_size() * page_size();
	if (mapping->fd < 0 && mprotect(mapping->memory + from, to - from, PROT_READ | PROT_WRITE) < 0)
		return -ENOMEM;
	mapping->granted = to;
	if (secret)
		lock_bytes(mapping, from, to);
	return 0;
}

bool spool_memory_lengthen(const struct spool_mapping *mapping, uint64_t capacity)
{
	return ftruncate(mapping->fd, (off_t)capacity) == 0;
}

void spool_memory_hide(const struct spool_mapping *mapping)
{
	(void)madvise(mapping->memory, mapping->capacity, MADV_DONTDUMP);
	lock_bytes(mapping, 0, mapping->granted);
}

/*
 * What is locked cannot grow past the limit on locked memory, nor where only a part of it could be locked: the rest of it is not
 * locked then.
 */
int spool_remap(struct spool_mapping *mapping, uint64_t capacity, bool secret)
{
	void *memory = mremap(mapping->memory, mapping->capacity, capacity, MREMAP_MAYMOVE);
	bool unlocked = memory == MAP_FAILED && secret;
	if (unlocked) {
		(void)munlock(mapping->memory, mapping->capacity);
		memory = mremap(mapping->memory, mapping->capacity, capacity, MREMAP_MAYMOVE);
	}
	if (memory == MAP_FAILED)
		return -ENOMEM;
	mapping->memory = memory;
	mapping->capacity = capacity;
	if (unlocked)
		lock_bytes(mapping, 0, mapping->granted);
	return 0;
}

/* To the end of the page that the first n bytes end in. */
static uint64_t to_page_end(const struct spool_mapping *mapping, uint64_t n)
{
	return n + -((uintptr_t)mapping->memory + n) % page_size();
}

bool spool_trim(struct spool_mapping *mapping, uint64_t length, bool secret)
{
	uint64_t needed = to_page_end(mapping, length ? length : 1);
	uint64_t kept = mapping->granted ? to_page_end(mapping, mapping->granted) : needed;
	/* Address space goes first: then there is nothing but what was granted. */
	if (kept < mapping->capacity)
		(void)munmap(mapping->memory + kept, mapping->capacity - kept);
	mapping->capacity = kept;
	if (needed < kept) {
		if (secret)
			sodium_memzero(mapping->memory + needed, kept - needed);
		if (munmap(mapping->memory + needed, kept - needed) < 0)
			return false;
		mapping->capacity = needed;
		mapping->granted = mapping->granted < needed ? mapping->granted : needed;
	}
	return mapping->fd < 0 || ftruncate(mapping->fd, (off_t)(length > mapping->head ? length - mapping->head : 1)) == 0;
}

void spool_unmap(struct spool_mapping *mapping, bool secret)
{
	if (secret)
		sodium_memzero(mapping->memory, mapping->granted);
	const uint64_t before = (uintptr_t)mapping->memory % page_size();
	munmap(mapping->memory - before, mapping->capacity + before);
	if (mapping->fd >= 0)
		close(mapping->fd);
}
