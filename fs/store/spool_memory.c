#include "spool_private.h"

#include <sodium.h>
#include <sys/mman.h>

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t spool_whole_pages(uint64_t n)
{
	return (n + page_size() - 1) / page_size() * page_size();
}

/* -1: there is none to be had, and plain memory has to do; a limit on the size of files counts here, too. */
static int memfd_new(uint64_t size)
{
	cleanup_close int fd = memfd_create("ckfs", MFD_CLOEXEC);
	return fd >= 0 && ftruncate(fd, (off_t)size) < 0 ? -1 : steal_fd(&fd);
}

int spool_memory_new(uint64_t capacity, uint64_t granted, bool growing, struct spool_mapping *ret)
{
	cleanup_close int fd = growing ? memfd_new(capacity) : -1;
	int prot = fd < 0 ? PROT_NONE : PROT_READ | PROT_WRITE, flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *memory = mmap(NULL, capacity, prot, flags | MAP_NORESERVE, fd, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	if (fd < 0)
		(void)madvise(memory, capacity, MADV_HUGEPAGE);
	if (fd < 0 && granted > 0 && mprotect(memory, granted, PROT_READ | PROT_WRITE) < 0) {
		munmap(memory, capacity);
		return -ENOMEM;
	}
	*ret = (struct spool_mapping){.memory = memory, .capacity = capacity, .granted = granted, .fd = steal_fd(&fd)};
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

bool spool_trim(struct spool_mapping *mapping, uint64_t length, bool secret)
{
	uint64_t needed = spool_whole_pages(length ? length : 1);
	uint64_t kept = mapping->granted ? spool_whole_pages(mapping->granted) : needed;
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
	return mapping->fd < 0 || ftruncate(mapping->fd, (off_t)needed) == 0;
}

void spool_unmap(struct spool_mapping *mapping, bool secret)
{
	if (secret)
		sodium_memzero(mapping->memory, mapping->granted);
	munmap(mapping->memory, mapping->capacity);
	if (mapping->fd >= 0)
		close(mapping->fd);
}
