/*
 * Writing, by the SDK's own steps: a temporary file, whole and on the disk, takes the name of the entry. Whoever is ended at any moment leaves the
 * old entry or the new one, and at most a file whose name holds ".tmp.", which the SDK neither counts nor keeps. Where the filesystem has files without
 * a name, there is not even that for longer than a moment. An expiry is rewritten in place, in one write under the lock that the SDK takes for it.
 */
#include "entry_header.h"
#include "file.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* HASH.tmp.PID.TIME */
#define TEMPORARY_SIZE (KEY_HEX_SIZE + 64)

/* Bytes of a value that are copied at a time. */
#define PIECE ((size_t)1 << 20)

/* Where the expiry stands in the header. */
#define EXPIRY_OFFSET 6

/* The SDK holds the lock of an entry for a read or a write. It is tried for so long, milliseconds, with pauses. */
#define LOCK_MS 1000
#define LOCK_PAUSE_NS 5000000

static struct file_backend *file_of(struct backend *backend)
{
	return (struct file_backend *)backend;
}

/* One value that is being stored. */
struct storing {
	struct file_backend *f;
	const struct key *key;
	int directory;
	char name[KEY_HEX_SIZE + 1], temporary[TEMPORARY_SIZE];
	int fd;          /* the file that is to be the entry */
	bool is_named;   /* it has its temporary name */
	bool there;      /* there is a file of the entry's name */
	struct stat now; /* of that */
};

static int write_failed(void)
{
	/* A quota is a disk that is full. */
	return errno == EDQUOT ? -ENOSPC : -errno;
}

static int write_all(int fd, const void *bytes, size_t n, uint64_t at)
{
	for (size_t done = 0; done < n;) {
		ssize_t put = pwrite(fd, (const char *)bytes + done, n - done, (off_t)(at + done));
		if (put < 0 && errno != EINTR)
			return write_failed();
		if (put == 0)
			return -EIO;
		done += put > 0 ? (size_t)put : 0;
	}
	return 0;
}

static int copy_value(const struct slice *value, int fd, const atomic_bool *cancel)
{
	const uint8_t *here = slice_memory(value);
	cleanup_free uint8_t *piece = here ? NULL : malloc(PIECE);
	int r = here || piece ? 0 : -ENOMEM;
	for (uint64_t at = 0; r == 0 && at < value->length;) {
		size_t n = value->length - at < PIECE ? (size_t)(value->length - at) : PIECE;
		r = was_cancelled(cancel) ? -EINTR : here ? 0 : slice_read(value, at, piece, n);
		if (r == 0)
			r = write_all(fd, here ? here + at : piece, n, ENTRY_HEADER_SIZE + at);
		at += n;
	}
	return r;
}

/* --- the temporary file --- */

static void name_temporary(struct storing *s)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(s->temporary, sizeof s->temporary, "%s.tmp.%ld.%lld", s->name, (long)getpid(), (long long)now.tv_sec * 1000000000 + now.tv_nsec);
}

/* A new file with a temporary name, or without any. A descriptor; -EXDEV there are no files without a name here; -errno. */
static int create(struct storing *s, bool named)
{
	int fd;
	if (!named) {
		fd = openat(s->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		return fd < 0 ? -EXDEV : fd;
	}
	do {
		name_temporary(s);
		fd = openat(s->directory, s->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	} while (fd < 0 && errno == EEXIST);
	s->is_named = fd >= 0;
	return fd < 0 ? write_failed() : fd;
}

/* Gives the file without a name a temporary one. 0; -ENOSPC, -EIO; -EXDEV it cannot have any. */
static int link_temporary(struct storing *s)
{
	char path[40];
	int r;
	snprintf(path, sizeof path, "/proc/self/fd/%d", s->fd);
	do {
		name_temporary(s);
		r = linkat(AT_FDCWD, path, s->directory, s->temporary, AT_SYMLINK_FOLLOW);
	} while (r < 0 && errno == EEXIST);
	s->is_named = r == 0;
	return r == 0 ? 0 : errno == ENOSPC || errno == EDQUOT ? -ENOSPC : errno == EIO ? -EIO : -EXDEV;
}

/* Whether a value lies where file_collect() has had it collected, and nothing else does. */
static bool is_collected(const struct slice *value)
{
	struct stat st;
	int fd = value->storage ? storage_fd(value->storage) : -1;
	return fd >= 0 && value->offset == ENTRY_HEADER_SIZE && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && fstat(fd, &st) == 0 &&
		st.st_nlink == 0 && (uint64_t)st.st_size == ENTRY_HEADER_SIZE + value->length;
}

/*
 * Who reads the cache must be able to read the entry, also one that root stores: it belongs to whom the one before did, or the directory does. Of others
 * who may write to the directory a new entry is their own, as with the SDK.
 */
static int give_to_owner(const struct storing *s)
{
	struct stat like = s->now;
	if (!s->there && fstat(s->directory, &like) < 0)
		return -errno;
	if (like.st_uid == geteuid())
		return 0;
	if (fchown(s->fd, like.st_uid, like.st_gid) == 0)
		return 0;
	return !s->there && geteuid() != 0 ? 0 : -EACCES;
}

/* The expiry that the entry has; 0: it has none, or is none. */
static int64_t expiry_now(const struct storing *s, bool *ret_is)
{
	struct stored stored;
	cleanup_close int fd = file_open_entry(s->f, s->directory, s->name);
	*ret_is = fd >= 0 && file_read_entry(s->f, &fd, false, FILE_UNKNOWN, &stored) == 0;
	return *ret_is ? stored.expires : 0;
}

static int64_t expiry_of(const struct storing *s, const struct lifetime *lifetime)
{
	bool is;
	int64_t now = expiry_now(s, &is);
	if (lifetime->is_set)
		return lifetime->expires;
	return is ? now : lifetime->ttl ? clock_unix() + lifetime->ttl : 0;
}

static int write_header(const struct storing *s, int64_t expires)
{
	uint8_t header[ENTRY_HEADER_SIZE];
	entry_header_write(expires, header);
	return write_all(s->fd, header, sizeof header, 0);
}

/* All of it on the disk, under its temporary name. */
static int finish_temporary(struct storing *s, const struct lifetime *lifetime)
{
	int r = give_to_owner(s);
	if (r == 0)
		r = write_header(s, expiry_of(s, lifetime));
	if (r == 0)
		file_key_write(s->f, s->fd, s->key);
	if (r == 0 && fsync(s->fd) < 0)
		r = write_failed();
	return r == 0 && !s->is_named ? link_temporary(s) : r;
}

/* Makes it the entry. */
static int commit(struct storing *s)
{
	if (renameat(s->directory, s->temporary, s->directory, s->name) < 0)
		return errno == ENOENT ? -EIO : write_failed();
	s->is_named = false;
	return 0;
}

static void storing_done(struct storing *s)
{
	if (s->is_named)
		unlinkat(s->directory, s->temporary, 0);
}

static int put_copy(struct storing *s, const struct slice *value, const struct lifetime *lifetime, bool named, const atomic_bool *cancel)
{
	cleanup_close int fd = create(s, named);
	if (fd < 0)
		return fd;
	s->fd = fd;
	int r = copy_value(value, fd, cancel);
	if (r == 0)
		r = finish_temporary(s, lifetime);
	return r < 0 ? r : commit(s);
}

static int put_collected(struct storing *s, const struct slice *value, const struct lifetime *lifetime)
{
	s->fd = storage_fd(value->storage);
	int r = finish_temporary(s, lifetime);
	return r < 0 ? r : commit(s);
}

/* The value as it was collected, else a copy, which has its temporary name from the beginning where there is no other way. */
static int store(struct storing *s, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel)
{
	int r = is_collected(value) ? put_collected(s, value, lifetime) : -EXDEV;
	if (r == -EXDEV)
		r = put_copy(s, value, lifetime, false, cancel);
	return r == -EXDEV ? put_copy(s, value, lifetime, true, cancel) : r;
}

int file_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel)
{
	struct file_backend *f = file_of(backend);
	cleanup_close int directory = file_open_directory(f);
	cleanup_with(storing_done) struct storing s = {.f = f, .key = key, .directory = directory, .fd = -1};
	const uint64_t size = ENTRY_HEADER_SIZE + value->length;
	if (directory < 0)
		return directory;
	key_hash_to_hex(&key->hash, s.name);
	s.there = fstatat(directory, s.name, &s.now, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(s.now.st_mode);
	/* Under what else could it be found? */
	if (!key->text && !s.there)
		return -ENOENT;
	const int64_t before = s.there ? s.now.st_size : -1;
	int r = file_room_take(&f->room, directory, size, before);
	if (r < 0)
		return r;
	r = store(&s, value, lifetime, cancel);
	if (r < 0)
		file_room_give(&f->room, size, before);
	return r;
}

int file_collect(struct backend *backend, struct collecting *ret)
{
	cleanup_close int directory = file_open_directory(file_of(backend));
	if (directory < 0)
		return directory;
	int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	*ret = (struct collecting){.fd = fd, .offset = ENTRY_HEADER_SIZE};
	return 0;
}

int file_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel)
{
	struct file_backend *f = file_of(backend);
	char name[KEY_HEX_SIZE + 1];
	struct stat st;
	cleanup_close int directory = file_open_directory(f);
	(void)cancel;
	if (directory < 0)
		return directory;
	key_hash_to_hex(&key->hash, name);
	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOENT;
	if (unlinkat(directory, name, 0) < 0)
		return -errno;
	file_room_give(&f->room, (uint64_t)st.st_size, -1);
	return 0;
}

/* --- expiries --- */

/* Takes the lock that the SDK takes for this. 0; -EAGAIN others have it. */
static int lock_entry(int fd, const atomic_bool *cancel)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
	for (int64_t end = clock_ms() + LOCK_MS;;) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (clock_ms() >= end)
			return -EAGAIN;
		if (was_cancelled(cancel))
			return -EINTR;
		nanosleep(&pause, NULL);
	}
}

/* Whether a name leads to this open file still: another entry may have taken its place. */
static bool is_still(int fd, int directory, const char *name)
{
	struct stat own, now;
	return fstat(fd, &own) == 0 && fstatat(directory, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && own.st_dev == now.st_dev && own.st_ino == now.st_ino;
}

/* Under the lock, for one write: the SDK's reads fail while it is held. 0; -ENOENT no entry, or expired; 1 another one took its place; -errno. */
static int rewrite_expiry(int fd, int directory, const char *name, int64_t expires)
{
	uint8_t header[ENTRY_HEADER_SIZE];
	int64_t before;
	ssize_t n = file_read_first(fd, header, sizeof header);
	int r = n < 0 ? (int)n : entry_header_read(header, (size_t)n, &before);
	if (r == 0 && has_expired(before))
		r = -ENOENT;
	if (r < 0)
		return r;
	if (!is_still(fd, directory, name))
		return 1;
	entry_header_write(expires, header);
	return write_all(fd, header + EXPIRY_OFFSET, sizeof header - EXPIRY_OFFSET, EXPIRY_OFFSET);
}

int file_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel)
{
	char name[KEY_HEX_SIZE + 1];
	cleanup_close int directory = file_open_directory(file_of(backend));
	int r = directory < 0 ? directory : 1;
	key_hash_to_hex(&key->hash, name);
	while (r == 1) {
		cleanup_close int fd = openat(directory, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			return errno == ELOOP || errno == ENXIO ? -ENOENT : -errno;
		r = lock_entry(fd, cancel);
		if (r == 0)
			r = rewrite_expiry(fd, directory, name, expires);
		flock(fd, LOCK_UN);
		if (r == 0 && fsync(fd) < 0)
			r = write_failed();
	}
	return r;
}
