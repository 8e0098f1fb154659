#include "spool_file.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* Not every filesystem makes files without a name (FUSE, NFS and vfat do not): there one loses its name before anything is written. */
static int open_named(const char *directory)
{
	cleanup_close int at = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	uint64_t random[2];
	char name[sizeof "ckfs-" + 32];
	randombytes_buf(random, sizeof random);
	snprintf(name, sizeof name, "ckfs-%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
	cleanup_close int fd = openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || unlinkat(at, name, 0) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int open_unnamed(const char *directory)
{
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? open_named(directory) : fd;
}

int spool_file_fill(int fd, uint64_t from, uint64_t to)
{
	int number;
	do
		number = posix_fallocate(fd, (off_t)from, (off_t)(to - from));
	while (number == EINTR);
	return -number;
}

int spool_file_new(const char *directory, uint64_t size, uint64_t mapped, int *ret_fd, void **ret_memory)
{
	cleanup_close int fd = open_unnamed(directory);
	int r = fd < 0 ? fd : ftruncate(fd, (off_t)mapped) < 0 ? -errno : 0;
	if (r == 0 && size > 0)
		r = spool_file_fill(fd, 0, size);
	if (r < 0)
		return r;
	void *memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*ret_fd = steal_fd(&fd);
	*ret_memory = memory;
	return 0;
}
