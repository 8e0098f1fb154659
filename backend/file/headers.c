#include "headers.h"

#include "ckfs/cleanup.h"

#include <sys/mman.h>

/* A slot takes 40 bytes, so all take 10 MiB. An inode has its place in one set. */
#define WAYS 4
#define SETS (1u << 16)
#define BYTES ((size_t)SETS * WAYS * sizeof(struct file_header))

void file_headers_init(struct file_headers *headers)
{
	*headers = (struct file_headers){0};
	pthread_mutex_init(&headers->lock, NULL);
}

void file_headers_clear(struct file_headers *headers)
{
	LOCK(&headers->lock);
	if (headers->slots)
		munmap(headers->slots, BYTES);
	headers->slots = NULL;
}

void file_headers_done(struct file_headers *headers)
{
	file_headers_clear(headers);
	pthread_mutex_destroy(&headers->lock);
}

/* Inodes are mostly given out one after the other, and so are their sets: a listing in that order goes through the memory once. */
static size_t set_number(uint64_t inode)
{
	return (inode + (inode >> 16) * UINT64_C(0x9E3779B97F4A7C15)) % SETS;
}

static struct file_header *set_of(const struct file_headers *headers, uint64_t inode)
{
	return headers->slots + set_number(inode) * WAYS;
}

bool file_headers_get(struct file_headers *headers, uint64_t inode, struct file_header *ret)
{
	bool found = false;
	LOCK(&headers->lock);
	const struct file_header *set = headers->slots ? set_of(headers, inode) : NULL;
	for (unsigned i = 0; set && !found && i < WAYS; i++) {
		found = inode != 0 && set[i].inode == inode;
		if (found)
			*ret = set[i];
	}
	return found;
}

/* Where in its set an inode goes. Any other may give way: a listing passes by all of them in turn, so the oldest would be needed next. */
static unsigned way_of(const struct file_header *set, uint64_t inode)
{
	unsigned way = (unsigned)(inode >> 16) % WAYS;
	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].inode == inode)
			return i;
		if (set[i].inode == 0)
			way = i;
	}
	return way;
}

/* Memory of its own: pages take room only when a file has its place there, also after it was dropped once. */
static struct file_header *new_slots(void)
{
	void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void file_headers_put(struct file_headers *headers, const struct file_header *header)
{
	LOCK(&headers->lock);
	if (!headers->slots)
		headers->slots = new_slots();
	if (headers->slots) {
		struct file_header *set = set_of(headers, header->inode);
		set[way_of(set, header->inode)] = *header;
	}
}
