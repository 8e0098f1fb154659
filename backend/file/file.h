/* The inside of the file backend, for its files. */
#ifndef CKFS_FILE_H
#define CKFS_FILE_H

#include "headers.h"
#include "room.h"

#include "ckfs/backend.h"
#include "ckfs/work.h"

#include <pthread.h>
#include <stdatomic.h>

/* What to do about the default directory when it is another user's. */
#define GIVE_IF_TRUSTED "give it as SOURCE if you trust it"

struct file_backend {
	struct backend backend;
	char *path;
	bool own; /* it has to be a real directory of the user's own: nobody named it */
	atomic_bool refused; /* it is none just now, and the log says so */
	atomic_bool lost;    /* the path leads to a directory that may not be opened, and that was told */
	struct work_pool *ahead; /* looks ahead for listings */
	int open_flags; /* O_NOATIME as long as nobody refused it */
	pthread_rwlock_t lock;
	int directory; /* protected by lock; -1: there is none just now */
	dev_t device;  /* of `directory` */
	ino_t inode;
	atomic_bool unique_inodes; /* its filesystem uses no inode number twice */
	struct file_headers headers;
	atomic_bool lacks_attributes; /* its filesystem has none for users */
	bool writes; /* entries can be stored and removed */
	struct file_room room;
};

/*
 * Opens the directory at `path`. `own`: it has to be a real one of the user's own whenever it is opened, else that is -EACCES.
 * As backend_ops.open.
 */
int file_backend_new(const char *path, bool own, const struct options *options, struct backend **ret, char **ret_source, struct error *error);

/* --- source.c --- */

int file_open(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source, struct error *error);
int file_open_default(const struct options *options, struct backend **ret, char **ret_source, struct error *error);

/* --- file.c --- */

/*
 * A directory that was removed and made again, or renamed away, is another one: follows the path, as writers do. 0 it is there; -ENOENT it is known to be
 * absent, and so are all entries; any other error says nothing of them. -EACCES also when it has to be the user's own, and is not.
 */
int file_follow_path(struct file_backend *f);

/* A descriptor of the directory, with a position of its own. -ENOENT: it is known to be absent; errors as of file_follow_path(). */
int file_open_directory(struct file_backend *f);

/* Opens an entry's file by its name. A descriptor; -ENOENT also for a link, a socket or anything else that is no file. */
int file_open_entry(struct file_backend *f, int directory, const char *name);

/* Whether a file has its key in an attribute. Unknown: it was not asked, or could not be asked just now. */
enum file_named { FILE_UNNAMED, FILE_NAMED, FILE_UNKNOWN };

/* Reads up to n bytes from the beginning of an open file. Fewer: the file ends there, and not just what a server gave at once. -errno, never -ENOENT. */
ssize_t file_read_first(int fd, uint8_t *to, size_t n);

/* Reads an open file as an entry. What is known of `named` is remembered for file_look(). With its value it takes the descriptor, and leaves -1. 0; -ENOENT no entry, or expired; -errno. */
int file_read_entry(struct file_backend *f, int *fd, bool value, enum file_named named, struct stored *ret);

/*
 * Looks at an entry by its name, without its value, and without opening it if it is known and has not changed. `inode`: what the
 * directory says of it. `key`: of its hash, which gets its text if the file has it and was opened; *ret_named: it has one, and was not. 0; as above.
 */
int file_look(struct file_backend *f, int directory, const char *name, uint64_t inode, struct key *key, bool *ret_named, struct stored *ret);

/* --- key_attribute.c --- */

/* Adds the text to a key that is known by its hash, if the open file has it. 0; -ENODATA it has none; -ENOMEM, -errno: nobody knows. */
int file_key_read(struct file_backend *f, int fd, struct key *key);

/* The same for file_read_entry(). */
enum file_named file_key_look(struct file_backend *f, int fd, struct key *key);

/* Leaves the text of a key with an open file, as far as that goes. */
void file_key_write(struct file_backend *f, int fd, const struct key *key);

/* The same for an entry that was found by its key, in a mount that writes, if it is not there yet. */
void file_key_note(struct file_backend *f, int fd, const struct key *key);

int file_resolve(struct backend *backend, const struct key_hash *hash, const atomic_bool *cancel, struct key *ret);

/* --- write.c --- */

int file_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel);
int file_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel);
int file_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel);
int file_collect(struct backend *backend, struct collecting *ret);

/* --- listing.c --- */

int file_list(struct backend *backend, struct cursor **ret);
int file_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret);
void file_list_end(struct cursor *cursor);

#endif
