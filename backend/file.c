/*
 * The file backend: one regular file per key in one directory, named by the hex of the key's
 * BLAKE2b-128, and rewritten only by rename. So a descriptor is a version, whole for as long as
 * it is open. It never deletes, locks or touches: the application's SDK does.
 */
#include "file.h"

#include "backends.h"
#include "entry_header.h"

#include "ckfs/cleanup.h"
#include "ckfs/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static struct file_backend *file_of(struct backend *backend)
{
	return (struct file_backend *)backend;
}

static void file_close(struct backend *backend)
{
	struct file_backend *f = file_of(backend);
	if (f->directory >= 0)
		close(f->directory);
	work_pool_free(f->ahead);
	file_headers_done(&f->headers);
	pthread_rwlock_destroy(&f->lock);
	free(f->path);
	free(f);
}

/* Makes a directory the one that is read. -1: there is none. The lock is held, or nobody else knows the backend yet. */
static void use_directory(struct file_backend *f, int directory, const struct stat *st)
{
	struct statfs fs;
	if (f->directory >= 0)
		close(f->directory);
	f->directory = directory;
	file_headers_clear(&f->headers);
	f->device = st->st_dev;
	f->inode = st->st_ino;
	f->unique_inodes = directory >= 0 && fstatfs(directory, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

static int file_open(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source,
	struct error *error)
{
	(void)scheme;
	if (options->read_from == READ_FROM_REPLICA)
		return error_set(error, -EINVAL, "-o read_from=replica: a file cache has none");
	if (options->prefix || options->tenant)
		return error_set(error, -EINVAL, "-o %s=: a file cache stores hashes of keys, which have no prefix", options->prefix ? "prefix" : "tenant");
	/* As the SDK does: what the path means is settled once. */
	char *path = realpath(location, NULL);
	if (!path)
		return error_set(error, -errno, "%s: %s (SOURCE is the directory that the application's cache uses)", location, strerror(errno));
	struct file_backend *f = calloc(1, sizeof *f);
	if (!f) {
		free(path);
		return error_set(error, -ENOMEM, "no memory");
	}
	f->backend.ops = &file_backend;
	f->path = path;
	f->open_flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME;
	pthread_rwlock_init(&f->lock, NULL);
	file_headers_init(&f->headers);
	f->directory = -1;
	unsigned cores = inherited_cores();
	if (work_pool_new(cores > 2 ? cores - 1 : 1, &f->ahead) < 0) {
		file_close(&f->backend);
		return error_set(error, -ENOMEM, "no memory");
	}
	cleanup_close int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	if (directory < 0 || fstat(directory, &st) < 0) {
		int r = error_set(error, -errno, "%s: %s", location, strerror(errno));
		file_close(&f->backend);
		return r;
	}
	*ret_source = strdup(path);
	if (!*ret_source) {
		file_close(&f->backend);
		return error_set(error, -ENOMEM, "no memory");
	}
	use_directory(f, steal_fd(&directory), &st);
	*ret = &f->backend;
	return 0;
}

/* Whether the path leads to the directory that is read, or to none as before. */
static bool is_current(struct file_backend *f, const struct stat *st)
{
	pthread_rwlock_rdlock(&f->lock);
	bool is = st ? f->directory >= 0 && st->st_dev == f->device && st->st_ino == f->inode : f->directory < 0;
	pthread_rwlock_unlock(&f->lock);
	return is;
}

static void change_directory(struct file_backend *f, int directory, const struct stat *st)
{
	pthread_rwlock_wrlock(&f->lock);
	use_directory(f, directory, st);
	pthread_rwlock_unlock(&f->lock);
}

int file_follow_path(struct file_backend *f)
{
	const struct stat none = {0};
	struct stat st;
	cleanup_close int fd = -1;
	int r = stat(f->path, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	if (r < 0 && r != -ENOENT)
		return r;
	if (is_current(f, r == 0 ? &st : NULL))
		return r;
	if (r == 0) {
		fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
	}
	if (r == 0)
		change_directory(f, steal_fd(&fd), &st);
	else if (r == -ENOENT)
		change_directory(f, -1, &none);
	return r;
}

static int file_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
	struct stored *ret)
{
	(void)whole;
	(void)spool;
	(void)cancel;
	struct file_backend *f = file_of(backend);
	char name[KEY_HEX_SIZE + 1];
	key_hash_to_hex(&key->hash, name);
	int r = file_follow_path(f);
	if (r < 0)
		return r;
	pthread_rwlock_rdlock(&f->lock);
	int fd = f->directory >= 0 ? file_open_entry(f, f->directory, name) : -ENOENT;
	pthread_rwlock_unlock(&f->lock);
	return fd < 0 ? fd : file_read_entry(f, fd, true, ret);
}

static int file_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret)
{
	(void)backend;
	(void)key;
	uint8_t header[ENTRY_HEADER_SIZE];
	ssize_t n = pread(storage_fd(stored->value.storage), header, sizeof header, 0);
	if (n < 0)
		return -errno;
	return entry_header_read(header, (size_t)n, ret) < 0 ? -EIO : 0;
}

static int file_changed(struct backend *backend, struct timespec *ret)
{
	struct file_backend *f = file_of(backend);
	struct stat st;
	if (stat(f->path, &st) < 0)
		return -errno;
	*ret = st.st_mtim;
	return 0;
}

static int file_statfs(struct backend *backend, struct statvfs *ret)
{
	struct file_backend *f = file_of(backend);
	int r = file_follow_path(f);
	return r < 0 ? r : statvfs(f->path, ret) < 0 ? -errno : 0;
}

const struct backend_ops file_backend = {
	.name = "file",
	.schemes = (const char *const[]){"file", NULL},
	.stores_keys = false,
	.open = file_open,
	.close = file_close,
	.find = file_find,
	.expires = file_expires,
	.list = file_list,
	.next = file_next,
	.position = file_position,
	.seek = file_seek,
	.list_end = file_list_end,
	.changed = file_changed,
	.statfs = file_statfs,
};
