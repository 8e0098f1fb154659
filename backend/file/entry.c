/* One entry's file: what the file backend takes as an entry, and which version it is. */
#include "entry_header.h"
#include "file.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <xxhash.h>

/* What is read of an entry at first: its header, and nearly always all of the frame's. */
#define FIRST_READ (ENTRY_HEADER_SIZE + 512)

/* What tells an inode from an earlier one of the same number, also within a clock tick. */
struct generation {
	uint32_t n; /* bytes of it; 0: unknown */
	uint8_t bytes[MAX_HANDLE_SZ];
};

/* Who cannot say it now says it the next time: without it this would be another version. Whatever else goes wrong is how that filesystem is. */
static bool is_passing(int number)
{
	return number == ENOMEM || number == EINTR || number == EAGAIN;
}

/* Most filesystems give it by itself and the others in the file's handle. 0, -errno. */
static int read_generation(int fd, struct generation *ret)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} h = {.handle.handle_bytes = MAX_HANDLE_SZ};
	int mount_id;
	unsigned int generation = 0;

	ret->n = 0;
	if (ioctl(fd, FS_IOC_GETVERSION, &generation) == 0) {
		ret->n = sizeof generation;
		memcpy(ret->bytes, &generation, sizeof generation);
		return 0;
	}
	if (is_passing(errno))
		return -errno;
	if (name_to_handle_at(fd, "", &h.handle, &mount_id, AT_EMPTY_PATH) == 0) {
		ret->n = h.handle.handle_bytes;
		memcpy(ret->bytes, h.handle.f_handle, h.handle.handle_bytes);
		return 0;
	}
	return is_passing(errno) ? -errno : 0;
}

/* The version of a file. A TTL refresh rewrites its header in place and is no new version. */
static void make_version(const struct file_backend *f, const struct statx *sx, const struct generation *generation, struct version *ret)
{
	struct {
		uint32_t major, minor;
		uint64_t inode, size;
		int64_t seconds;
		uint32_t nanoseconds, generation_size;
		uint8_t generation[MAX_HANDLE_SZ];
	} id;
	const size_t n = generation->n;

	id.major = sx->stx_dev_major;
	id.minor = sx->stx_dev_minor;
	id.inode = sx->stx_ino;
	id.size = sx->stx_size;
	id.seconds = 0;
	id.nanoseconds = 0;
	id.generation_size = (uint32_t)n;
	if (sx->stx_mask & STATX_BTIME) {
		id.seconds = sx->stx_btime.tv_sec;
		id.nanoseconds = sx->stx_btime.tv_nsec;
	} else if (n == 0 && !f->unique_inodes) {
		id.seconds = sx->stx_ctime.tv_sec;
		id.nanoseconds = sx->stx_ctime.tv_nsec;
	}
	memcpy(id.generation, generation->bytes, n);
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(&id, offsetof(typeof(id), generation) + n));
	memcpy(ret->id, canonical.digest, sizeof ret->id);
}

static int64_t nanoseconds(int64_t seconds, int64_t fraction)
{
	return seconds * 1000000000 + fraction;
}

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return nanoseconds(now.tv_sec, now.tv_nsec);
}

static uint64_t device_of(const struct statx *sx)
{
	return makedev(sx->stx_dev_major, sx->stx_dev_minor);
}

/*
 * Remembers the header of a file, if later changes will show in its time, and if it says all that a listing needs.
 * `began`: before the file was looked at.
 */
static void remember(struct file_backend *f, const struct statx *sx, const struct generation *generation, int64_t expires, enum file_named named, int64_t began)
{
	struct file_header header = {
		.device = device_of(sx), .inode = sx->stx_ino, .changed = nanoseconds(sx->stx_ctime.tv_sec, sx->stx_ctime.tv_nsec), .named = named == FILE_NAMED,
	};
	bool fits = named != FILE_UNKNOWN && expires >= 0 && expires <= UINT32_MAX && (f->unique_inodes || generation->n == sizeof header.generation);
	if (!fits || began - header.changed < FILE_TICK_NS)
		return;
	header.expires = (uint32_t)expires;
	memcpy(&header.generation, generation->bytes, generation->n);
	file_headers_put(&f->headers, &header);
}

static int stat_entry(int directory, const char *name, int flags, struct statx *ret)
{
	if (statx(directory, name, flags, STATX_BASIC_STATS | STATX_BTIME, ret) < 0)
		return -errno;
	return S_ISREG(ret->stx_mode) && ret->stx_size >= ENTRY_HEADER_SIZE ? 0 : -ENOENT;
}

/* What the file itself tells of an entry. */
static struct stored describe(const struct file_backend *f, const struct statx *sx, const struct generation *generation, int64_t expires)
{
	const struct statx_timestamp *written = sx->stx_mask & STATX_BTIME ? &sx->stx_btime : &sx->stx_mtime;
	struct stored stored = {.expires = expires, .size = sx->stx_size};
	stored.written = (struct timespec){.tv_sec = written->tv_sec, .tv_nsec = written->tv_nsec};
	make_version(f, sx, generation, &stored.version);
	return stored;
}

ssize_t file_read_first(int fd, uint8_t *to, size_t n)
{
	size_t filled = 0;
	ssize_t got;
	do {
		got = pread(fd, to + filled, n - filled, (off_t)filled);
		filled += got > 0 ? (size_t)got : 0;
	} while (filled < n && (got > 0 || (got < 0 && errno == EINTR)));
	/* ENOENT here is no missing entry: the file is open. */
	return got < 0 ? (errno == ENOENT ? -EIO : -errno) : (ssize_t)filled;
}

int file_read_entry(struct file_backend *f, int *fd, bool value, enum file_named named, struct stored *ret)
{
	struct statx sx;
	struct generation generation = {0};
	uint8_t first[FIRST_READ];
	int64_t expires, began = now_ns();

	int r = stat_entry(*fd, "", AT_EMPTY_PATH, &sx);
	if (r < 0)
		return r;
	ssize_t n = file_read_first(*fd, first, value ? sizeof first : ENTRY_HEADER_SIZE);
	if (n < 0)
		return (int)n;
	r = entry_header_read(first, (size_t)n, &expires);
	if (r < 0)
		return r;
	r = f->unique_inodes ? 0 : read_generation(*fd, &generation);
	if (r < 0)
		return r;
	remember(f, &sx, &generation, expires, named, began);
	if (has_expired(expires))
		return -ENOENT;

	struct stored stored = describe(f, &sx, &generation, expires);
	if (value) {
		struct storage *storage;
		r = storage_new_fd(*fd, first, (size_t)n, &storage);
		if (r < 0)
			return r;
		*fd = -1;
		slice_new(storage, ENTRY_HEADER_SIZE, sx.stx_size - ENTRY_HEADER_SIZE, &stored.value);
		storage_unref(storage);
	}
	*ret = stored;
	return 0;
}

/* From what is remembered of it. 1 and *ret; 0 it has to be opened; -errno. */
static int look_known(struct file_backend *f, int directory, const char *name, uint64_t inode, bool *ret_named, struct stored *ret)
{
	struct file_header known;
	struct generation generation = {0};
	struct statx sx;
	if (!file_headers_get(&f->headers, inode, &known))
		return 0;
	int r = stat_entry(directory, name, AT_SYMLINK_NOFOLLOW, &sx);
	if (r < 0)
		return r;
	if (device_of(&sx) != known.device || sx.stx_ino != known.inode || nanoseconds(sx.stx_ctime.tv_sec, sx.stx_ctime.tv_nsec) != known.changed)
		return 0;
	if (has_expired(known.expires))
		return -ENOENT;
	if (!f->unique_inodes) {
		generation.n = sizeof known.generation;
		memcpy(generation.bytes, &known.generation, sizeof known.generation);
	}
	*ret = describe(f, &sx, &generation, known.expires);
	*ret_named = known.named;
	return 1;
}

int file_look(struct file_backend *f, int directory, const char *name, uint64_t inode, struct key *key, bool *ret_named, struct stored *ret)
{
	*ret_named = false;
	int r = look_known(f, directory, name, inode, ret_named, ret);
	if (r != 0)
		return r < 0 ? r : 0;
	cleanup_close int fd = file_open_entry(f, directory, name);
	return fd < 0 ? fd : file_read_entry(f, &fd, false, file_key_look(f, fd, key), ret);
}

int file_open_entry(struct file_backend *f, int directory, const char *name)
{
	int flags = __atomic_load_n(&f->open_flags, __ATOMIC_RELAXED);
	int fd = openat(directory, name, flags);
	if (fd < 0 && errno == EPERM && (flags & O_NOATIME)) {
		/* Files of another user. */
		__atomic_store_n(&f->open_flags, flags & ~O_NOATIME, __ATOMIC_RELAXED);
		fd = openat(directory, name, flags & ~O_NOATIME);
	}
	if (fd >= 0)
		return fd;
	/* A symbolic link, and a socket. */
	return errno == ELOOP || errno == ENXIO ? -ENOENT : -errno;
}
