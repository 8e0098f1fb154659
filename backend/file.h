/* The inside of the file backend, for file.c, file_entry.c and file_listing.c. */
#ifndef CKFS_FILE_H
#define CKFS_FILE_H

#include "file_headers.h"

#include "ckfs/backend.h"
#include "ckfs/work.h"

#include <pthread.h>
#include <stdatomic.h>

struct file_backend {
	struct backend backend;
	char *path;
	struct work_pool *ahead; /* looks ahead for listings */
	int open_flags; /* O_NOATIME as long as nobody refused it */
	pthread_rwlock_t lock;
	int directory; /* protected by lock; -1: there is none just now */
	dev_t device;  /* of `directory` */
	ino_t inode;
	atomic_bool unique_inodes; /* its filesystem uses no inode number twice */
	struct file_headers headers;
};

/*
 * A directory that was removed and made again, or renamed away, is another one: follows the path, as writers do. 0 it is there; -ENOENT it is known to be
 * absent, and so are all entries; any other error says nothing of them.
 */
int file_follow_path(struct file_backend *f);

/* Opens an entry's file by its name. A descriptor; -ENOENT also for a link, a socket or anything else that is no file. */
int file_open_entry(struct file_backend *f, int directory, const char *name);

/* Reads an open file as an entry, its value too if that is wanted. Takes ownership of fd. 0; -ENOENT no entry, or expired; -errno. */
int file_read_entry(struct file_backend *f, int fd, bool value, struct stored *ret);

/*
 * Looks at an entry by its name, without its value, and without opening it if it is known and has not changed. `inode`: what the
 * directory says of it. 0; as above.
 */
int file_look(struct file_backend *f, int directory, const char *name, uint64_t inode, struct stored *ret);

int file_list(struct backend *backend, struct cursor **ret);
int file_next(struct cursor *cursor, bool value, struct listed *ret);
uint64_t file_position(const struct cursor *cursor);
int file_seek(struct cursor *cursor, uint64_t position);
void file_list_end(struct cursor *cursor);

#endif
