/*
 * The file backend: one regular file per key in one directory, named by the hex of the key's
 * BLAKE2b-128, and rewritten only by rename. So a descriptor is a version, whole for as long as
 * it is open. A mount that reads never deletes, locks or touches; what one that writes does is in write.c.
 */
#include "file.h"

#include "backend/backends.h"
#include "entry_header.h"

#include "ckfs/cleanup.h"
#include "ckfs/log.h"
#include "ckfs/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <syslog.h>
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
	file_room_done(&f->room);
	pthread_rwlock_destroy(&f->lock);
	free(f->path);
	free(f);
}

static void file_needs(const struct backend *backend, struct sandbox *sandbox)
{
	const struct file_backend *f = (const struct file_backend *)backend;
	sandbox_allow(sandbox, SANDBOX_READ_UNNOTICED, f->path);
	if (f->writes)
		sandbox_allow(sandbox, SANDBOX_STORE, f->path);
}

/* Makes a directory the one that is read. -1: there is none. The lock is held, or nobody else knows the backend yet. */
static void use_directory(struct file_backend *f, int directory, const struct stat *st)
{
	struct statfs fs;
	if (f->directory >= 0)
		close(f->directory);
	f->directory = directory;
	file_headers_clear(&f->headers);
	f->lacks_attributes = false;
	f->device = st->st_dev;
	f->inode = st->st_ino;
	f->unique_inodes = directory >= 0 && fstatfs(directory, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

/* Whether what the path leads to may be read. What others put in the place of the user's own directory is told once, until that has ended. */
static int check_owner(struct file_backend *f, const struct stat *st)
{
	bool refused = f->own && (!S_ISDIR(st->st_mode) || st->st_uid != geteuid());
	if (refused != f->refused && atomic_exchange(&f->refused, refused) != refused && refused)
		log_line(LOG_WARNING, "%.300s: not this user's own directory any more, so ckfs shows nothing of it; " GIVE_IF_TRUSTED, f->path);
	return refused ? -EACCES : 0;
}

/* Opens what the path leads to now. The only place where a directory comes from. 0; -EACCES it has to be the user's own, and is not; -errno. */
static int open_path(struct file_backend *f, int *ret, struct stat *ret_stat)
{
	cleanup_close int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (f->own ? O_NOFOLLOW : 0));
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	int r = check_owner(f, &st);
	if (r < 0)
		return r;
	*ret = steal_fd(&fd);
	*ret_stat = st;
	return 0;
}

/* What only who writes needs. 0; -EINVAL with the error set. */
static int prepare_to_write(struct file_backend *f, struct error *error)
{
	f->writes = true;
	int r = file_room_init(&f->room, error);
	f->backend.value_max = f->room.value_max;
	return r;
}

int file_backend_new(const char *path, bool own, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	cleanup_free char *source = strdup(path);
	cleanup_free char *path_copy = strdup(path);
	struct file_backend *f = calloc(1, sizeof *f);
	if (!f || !source || !path_copy) {
		free(f);
		return error_set(error, -ENOMEM, "no memory");
	}
	f->backend.ops = &file_backend;
	f->path = steal(path_copy);
	f->own = own;
	f->open_flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME;
	pthread_rwlock_init(&f->lock, NULL);
	file_headers_init(&f->headers);
	pthread_mutex_init(&f->room.lock, NULL);
	f->directory = -1;
	unsigned cores = thread_cpus();
	int directory;
	struct stat st;
	int r = work_pool_new(cores > 2 ? cores - 1 : 1, &f->ahead);
	if (r == 0)
		r = open_path(f, &directory, &st);
	if (r < 0)
		error_set(error, r, "%s: %s", path, strerror(-r));
	else
		use_directory(f, directory, &st);
	if (r == 0 && options->write)
		r = prepare_to_write(f, error);
	if (r < 0) {
		file_close(&f->backend);
		return r;
	}
	*ret_source = steal(source);
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

/* What the path leads to now. 0; -EACCES as of open_path(); -errno. */
static int look_at_path(struct file_backend *f, struct stat *ret)
{
	if (fstatat(AT_FDCWD, f->path, ret, f->own ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		return -errno;
	int r = check_owner(f, ret);
	return r < 0 ? r : S_ISDIR(ret->st_mode) ? 0 : -ENOTDIR;
}

/* What is there and may not be opened is told once, until that has ended: rights alone do not explain it. */
static void note_reach(struct file_backend *f, bool lost)
{
	if (lost != f->lost && atomic_exchange(&f->lost, lost) != lost && lost)
		log_line(LOG_WARNING, "%.300s: %s; if a directory above it was replaced, the sandbox does not allow the new one: mount again, or use -o sandbox=off",
			f->path, strerror(EACCES));
}

int file_follow_path(struct file_backend *f)
{
	const struct stat none = {0};
	struct stat st;
	int fd = -1;
	int r = look_at_path(f, &st);
	if (r < 0 && r != -ENOENT)
		return r;
	if (is_current(f, r == 0 ? &st : NULL))
		return r;
	if (r == 0) {
		r = open_path(f, &fd, &st);
		note_reach(f, r == -EACCES && !f->refused);
	}
	if (r == 0)
		change_directory(f, fd, &st);
	else if (r == -ENOENT)
		change_directory(f, -1, &none);
	return r;
}

int file_open_directory(struct file_backend *f)
{
	int r = file_follow_path(f);
	if (r < 0)
		return r;
	pthread_rwlock_rdlock(&f->lock);
	int fd = f->directory < 0 ? -ENOENT : openat(f->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		fd = -errno;
	pthread_rwlock_unlock(&f->lock);
	return fd;
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
	cleanup_close int fd = f->directory >= 0 ? file_open_entry(f, f->directory, name) : -ENOENT;
	pthread_rwlock_unlock(&f->lock);
	if (fd < 0)
		return fd;
	file_key_note(f, fd, key);
	return file_read_entry(f, &fd, true, FILE_UNKNOWN, ret);
}

static int file_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret)
{
	(void)backend;
	(void)key;
	uint8_t header[ENTRY_HEADER_SIZE];
	ssize_t n = file_read_first(storage_fd(stored->value.storage), header, sizeof header);
	if (n < 0)
		return (int)n;
	return entry_header_read(header, (size_t)n, ret) < 0 ? -EIO : 0;
}

static void file_forget(struct backend *backend)
{
	struct file_backend *f = file_of(backend);
	file_headers_clear(&f->headers);
	f->lacks_attributes = false;
}

static int file_changed(struct backend *backend, struct timespec *ret)
{
	struct file_backend *f = file_of(backend);
	struct stat st;
	int r = look_at_path(f, &st);
	if (r == 0)
		*ret = st.st_mtim;
	return r;
}

static int file_statfs(struct backend *backend, struct statvfs *ret)
{
	struct file_backend *f = file_of(backend);
	int r = file_follow_path(f);
	return r < 0 ? r : statvfs(f->path, ret) < 0 ? -errno : 0;
}

const struct backend_ops file_backend = {
	.name = "file",
	.title = "file cache",
	.schemes = (const char *const[]){"file", NULL},
	.mounts = "file caches (DIR or file:///DIR)",
	.forms = (const char *const[]){"DIR", "file:///DIR", NULL},
	.variable = "CACHEKIT_FILE_CACHE_DIR",
	.takes_paths = true,
	.stores_keys = false,
	.open = file_open,
	.open_default = file_open_default,
	.close = file_close,
	.needs = file_needs,
	.find = file_find,
	.resolve = file_resolve,
	.expires = file_expires,
	.list = file_list,
	.next = file_next,
	.list_end = file_list_end,
	.forget = file_forget,
	.changed = file_changed,
	.statfs = file_statfs,
	.put = file_put,
	.remove = file_remove,
	.expire = file_expire,
	.collect = file_collect,
};
