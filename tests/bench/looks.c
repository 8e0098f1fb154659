/*
 * looks: what a first listing of a file cache cannot do without, and no more.
 *
 *     looks THREADS DIRECTORY
 *
 * Reads the names of a directory, and of each file what tells whether it is a live entry, which version, and of which key: opens it, asks for its
 * times and for the attribute of the key, reads the header, and closes it. With several threads each takes the next 512 names that nobody has. No
 * name is printed, checked or remembered, and no filesystem is mounted.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define THREADS_MAX 64
#define BATCH 512
#define HEADER 14

static int directory;
static char (*names)[256];
static size_t count;
static atomic_size_t next;
static atomic_bool failed;

static bool look(const char *name)
{
	struct statx sx;
	char key[255], header[HEADER];
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOATIME);
	if (fd < 0)
		return false;
	bool ok = statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &sx) == 0;
	/* Most files have none, and some filesystems no attributes at all. */
	(void)!fgetxattr(fd, "user.ckfs.key", key, sizeof key);
	ok = pread(fd, header, sizeof header, 0) == sizeof header && ok;
	return close(fd) == 0 && ok;
}

static void *look_at_rest(void *unused)
{
	size_t from;
	(void)unused;
	while ((from = atomic_fetch_add(&next, BATCH)) < count)
		for (size_t i = from; i < count && i < from + BATCH; i++)
			if (!look(names[i]))
				failed = true;
	return NULL;
}

static bool read_names(const char *path)
{
	size_t capacity = 0;
	DIR *dir = opendir(path);
	struct dirent *d;
	if (!dir)
		return false;
	directory = dirfd(dir);
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		if (count == capacity) {
			capacity = capacity ? capacity * 2 : 1024;
			void *bigger = realloc(names, capacity * sizeof *names);
			if (!bigger)
				return false;
			names = bigger;
		}
		strcpy(names[count++], d->d_name);
	}
	return true;
}

int main(int argc, char *argv[])
{
	pthread_t threads[THREADS_MAX];
	const int wanted = argc == 3 ? atoi(argv[1]) : 0;
	int started = 0;
	if (wanted < 1 || wanted > THREADS_MAX) {
		fprintf(stderr, "usage: %s THREADS DIRECTORY\n", argv[0]);
		return 2;
	}
	if (!read_names(argv[2])) {
		perror(argv[2]);
		return 1;
	}
	while (started < wanted - 1 && pthread_create(&threads[started], NULL, look_at_rest, NULL) == 0)
		started++;
	look_at_rest(NULL);
	for (int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (failed)
		fprintf(stderr, "%s: some file could not be looked at: %s\n", argv[2], strerror(errno));
	return failed;
}
