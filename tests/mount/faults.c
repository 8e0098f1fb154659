/*
 * Preloaded by tests: lets a call fail with the errno that stands in a file of the call's name in the directory $FAULTS, as long as there is
 * one.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>

static int fault_of(const char *call)
{
	const char *directory = getenv("FAULTS");
	char path[4096];
	int number = 0;
	snprintf(path, sizeof path, "%s/%s", directory ? directory : "", call);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &number) != 1)
		number = 0;
	fclose(file);
	return number;
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

int posix_fallocate64(int fd, off64_t at, off64_t size)
{
	int number = fault_of("posix_fallocate");
	int (*real)(int, off64_t, off64_t) = (int (*)(int, off64_t, off64_t))next("posix_fallocate64");
	return number ? number : real(fd, at, size);
}

/* "pread" of what lies further back in a file, "pread first" of its beginning. */
ssize_t pread64(int fd, void *to, size_t n, off64_t at)
{
	int number = fault_of(at > 1000 ? "pread" : "pread first");
	ssize_t (*real)(int, void *, size_t, off64_t) = (ssize_t (*)(int, void *, size_t, off64_t))next("pread64");
	if (number == 0)
		return real(fd, to, n, at);
	errno = number;
	return -1;
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	int number = fault_of("connect");
	int (*real)(int, const struct sockaddr *, socklen_t) = (int (*)(int, const struct sockaddr *, socklen_t))next("connect");
	if (number == 0)
		return real(fd, address, size);
	errno = number;
	return -1;
}
