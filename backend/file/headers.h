/*
 * What the headers of entry files said, so that a listing need not open a file again that has not changed since: its device, its
 * inode and its time of change tell. What is mounted over a single file, or comes from another layer of an overlay, may have the inode of another. Some 100,000 of them are remembered; any thread may call.
 */
#ifndef CKFS_FILE_HEADERS_H
#define CKFS_FILE_HEADERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A change within this many nanoseconds may not show in a file's or a directory's time: clocks tick. */
#define FILE_TICK_NS 20000000

struct file_header {
	uint64_t inode;      /* 0: none */
	int64_t changed;     /* the file's ctime, nanoseconds since 1970 */
	uint32_t expires;    /* unix seconds, 0: never */
	uint32_t generation; /* of the inode, as FS_IOC_GETVERSION tells it */
	uint64_t device;
	bool named; /* the file has its key in an attribute */
};

struct file_headers {
	pthread_mutex_t lock;
	struct file_header *slots; /* NULL: nothing was remembered yet */
};

void file_headers_init(struct file_headers *headers);
void file_headers_done(struct file_headers *headers);

/* Forgets all: they belong to one filesystem. */
void file_headers_clear(struct file_headers *headers);

/* What was remembered of an inode. */
bool file_headers_get(struct file_headers *headers, uint64_t inode, struct file_header *ret);

/* Remembers one, maybe in the place of another. */
void file_headers_put(struct file_headers *headers, const struct file_header *header);

#endif
