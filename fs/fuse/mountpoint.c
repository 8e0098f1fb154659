#include "mountpoint.h"

#include "ckfs/cleanup.h"
#include "ckfs/mountinfo.h"
#include "ckfs/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

bool mountpoint_find(const char *path, struct mounted *ret)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	cleanup_free char *line = NULL;
	size_t capacity = 0;
	bool found = false;
	if (!file)
		return false;
	/* The last one is on top. */
	while (getline(&line, &capacity, file) >= 0) {
		struct mountinfo mount;
		if (!mountinfo_parse(line, &mount) || strcmp(mount.point, path) != 0)
			continue;
		*ret = (struct mounted){.device = mount.device, .is_ckfs = strcmp(mount.type, "fuse.ckfs") == 0};
		found = true;
	}
	fclose(file);
	return found;
}

/* The directory's own path is made absolute through its parent: a dead mount cannot be looked at. */
static char *absolute_path(const char *path)
{
	cleanup_free char *copy = strdup(path);
	if (!copy)
		return NULL;
	size_t n = strlen(copy);
	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	char *slash = strrchr(copy, '/');
	const char *base = slash ? slash + 1 : copy;
	if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return realpath(path, NULL);
	if (slash)
		*slash = '\0';
	cleanup_free char *parent = realpath(!slash ? "." : *copy ? copy : "/", NULL);
	char *whole = NULL;
	if (!parent || asprintf(&whole, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, base) < 0)
		return NULL;
	struct stat st;
	if (lstat(whole, &st) < 0 || !S_ISLNK(st.st_mode))
		return whole;
	char *target = realpath(whole, NULL);
	free(whole);
	return target;
}

extern char **environ;

static bool clear_dead(const char *path)
{
	if (umount2(path, MNT_DETACH) == 0)
		return true;
	char *const args[] = {(char[]){"fusermount3"}, (char[]){"-u"}, (char[]){"-z"}, (char[]){"--"}, strdup(path), NULL};
	pid_t pid;
	int status = -1;
	bool started = args[4] && posix_spawnp(&pid, "fusermount3", NULL, NULL, args, environ) == 0;
	if (started)
		waitpid(pid, &status, 0);
	free(args[4]);
	return started && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/*
 * Whether the ckfs that is mounted here has ended. The kernel may still answer stat for a dead one; an open it has to ask, and this file no living
 * one asks its SOURCE for, which may itself be dead.
 */
static bool is_dead(const char *path)
{
	cleanup_free char *stats = NULL;
	if (asprintf(&stats, "%s/.ckfs/stats", path) < 0)
		return false;
	cleanup_close int fd = open(stats, O_RDONLY | O_CLOEXEC);
	/* Or it has ended while it was asked. */
	return fd < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

/* A ckfs that is mounted here: dead ones are cleared away. */
static int clear_mounted(const char *path, struct error *error)
{
	struct mounted mounted;
	while (mountpoint_find(path, &mounted) && mounted.is_ckfs) {
		if (!is_dead(path))
			return error_set(error, -EBUSY, "%s: a ckfs serves here already; end it with fusermount3 -u %s", path, path);
		if (!clear_dead(path))
			return error_set(error, -EBUSY, "%s: a dead ckfs is mounted here; clear it with fusermount3 -u -z %s", path, path);
	}
	return 0;
}

static bool is_below(const char *path, const char *directory)
{
	size_t n = strlen(directory);
	return strncmp(path, directory, n) == 0 && (path[n] == '\0' || path[n] == '/' || strcmp(directory, "/") == 0);
}

int mountpoint_prepare(struct options *options, const char *source, struct error *error)
{
	struct stat st;
	if (path_descriptor(options->mountpoint) >= 0)
		return error_set(error, -EINVAL, "%s: ckfs does not serve a mount that another program made (drop_privileges), since it may lack default_permissions; use setuid=USER to drop privileges",
			options->mountpoint);
	char *path = absolute_path(options->mountpoint);
	if (!path)
		return error_set(error, -errno, "%s: %s (the MOUNTPOINT must be a directory that exists)", options->mountpoint, strerror(errno));
	free(options->mountpoint);
	options->mountpoint = path;

	int r = clear_mounted(path, error);
	if (r < 0)
		return r;
	if (stat(path, &st) < 0)
		return error_set(error, -errno, "%s: %s (the MOUNTPOINT must be a directory that exists)", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(error, -ENOTDIR, "%s: not a directory, so nothing can be mounted on it", path);
	/* The backend looks its path up again and again: under its own mount it would wait for itself. */
	if (is_below(source, path))
		return error_set(error, -EINVAL, "%s: the cache lies in the MOUNTPOINT; choose a directory outside of it", path);
	return 0;
}
