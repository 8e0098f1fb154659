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
#include <xxhash.h>

/* What is read of an entry at first: its header, and nearly always all of the frame's. */
#define FIRST_READ (ENTRY_HEADER_SIZE + 512)

/*
 * What tells an inode from an earlier one of the same number, also within a clock tick: its generation, which most
 * filesystems give by itself and the others in the file's handle. Bytes of it, 0: unknown.
 */
static size_t read_generation(int fd, uint8_t ret[MAX_HANDLE_SZ])
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} h = {.handle.handle_bytes = MAX_HANDLE_SZ};
	int mount_id, generation = 0;

	if (ioctl(fd, FS_IOC_GETVERSION, &generation) == 0) {
		memcpy(ret, &generation, sizeof generation);
		return sizeof generation;
	}
	if (name_to_handle_at(fd, "", &h.handle, &mount_id, AT_EMPTY_PATH) < 0)
		return 0;
	memcpy(ret, h.handle.f_handle, h.handle.handle_bytes);
	return h.handle.handle_bytes;
}

/* The version of an open file. A TTL refresh rewrites its header in place and is no new version. */
static void read_version(const struct file_backend *f, int fd, const struct statx *sx, struct version *ret)
{
	struct {
		uint32_t major, minor;
		uint64_t inode, size;
		int64_t seconds;
		uint32_t nanoseconds, generation_size;
		uint8_t generation[MAX_HANDLE_SZ];
	} id;
	size_t n = f->unique_inodes ? 0 : read_generation(fd, id.generation);

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
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(&id, offsetof(typeof(id), generation) + n));
	memcpy(ret->id, canonical.digest, sizeof ret->id);
}

int file_read_entry(const struct file_backend *f, int fd, bool value, struct stored *ret)
{
	cleanup_close int owned = fd;
	struct statx sx;
	uint8_t first[FIRST_READ];
	int64_t expires;

	if (statx(owned, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &sx) < 0)
		return -errno;
	if (!S_ISREG(sx.stx_mode) || sx.stx_size < ENTRY_HEADER_SIZE)
		return -ENOENT;
	ssize_t n = pread(owned, first, value ? sizeof first : ENTRY_HEADER_SIZE, 0);
	if (n < 0)
		return -errno;
	int r = entry_header_read(first, (size_t)n, &expires);
	if (r < 0)
		return r;
	if (has_expired(expires))
		return -ENOENT;

	struct stored stored = {.expires = expires, .size = sx.stx_size};
	const struct statx_timestamp *written = sx.stx_mask & STATX_BTIME ? &sx.stx_btime : &sx.stx_mtime;
	stored.written = (struct timespec){.tv_sec = written->tv_sec, .tv_nsec = written->tv_nsec};
	read_version(f, owned, &sx, &stored.version);
	if (value) {
		struct storage *storage;
		r = storage_new_fd_read(owned, first, (size_t)n, &storage);
		if (r < 0)
			return r;
		owned = -1;
		slice_new(storage, ENTRY_HEADER_SIZE, sx.stx_size - ENTRY_HEADER_SIZE, &stored.value);
		storage_unref(storage);
	}
	*ret = stored;
	return 0;
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
	return errno == ELOOP || errno == ENXIO || errno == ENOTDIR ? -ENOENT : -errno;
}
