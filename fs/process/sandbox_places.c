/* Which places the daemon needs. */
#include "sandbox_private.h"

#include "ckfs/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel follows no more links than this. */
#define LINKS_MAX 40

static void add(struct sandbox *sandbox, enum sandbox_use use, const char *path)
{
	for (size_t i = 0; i < sandbox->count; i++)
		if (sandbox->places[i].use == use && strcmp(sandbox->places[i].path, path) == 0)
			return;
	if (sandbox->count == sandbox->capacity) {
		size_t capacity = sandbox->capacity ? 2 * sandbox->capacity : 32;
		struct sandbox_place *places = realloc(sandbox->places, capacity * sizeof *places);
		if (!places) {
			sandbox->failed = true;
			return;
		}
		sandbox->places = places;
		sandbox->capacity = capacity;
	}
	char *copy = strdup(path);
	if (copy)
		sandbox->places[sandbox->count++] = (struct sandbox_place){use, copy};
	else
		sandbox->failed = true;
}

/* Cuts slashes off the end of a path. */
static size_t length_of(const char *path)
{
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	return n;
}

/* The directory that the first n bytes of a path lie in; not the root directory. */
static void add_directory(struct sandbox *sandbox, enum sandbox_use use, const char *path, size_t n)
{
	char directory[PATH_MAX];
	while (n > 0 && path[n - 1] != '/')
		n--;
	while (n > 0 && path[n - 1] == '/')
		n--;
	if (n == 0 || n >= sizeof directory)
		return;
	memcpy(directory, path, n);
	directory[n] = '\0';
	add(sandbox, use, directory);
}

/* Where the first link in a path ends, and what it holds; 0: there is none. */
static size_t first_link(const char *path, char ret_target[static PATH_MAX])
{
	char prefix[PATH_MAX];
	size_t length = strlen(path);
	if (length >= sizeof prefix)
		return 0;
	for (size_t n = 1; n <= length; n++) {
		if (path[n] != '/' && path[n] != '\0')
			continue;
		memcpy(prefix, path, n);
		prefix[n] = '\0';
		ssize_t got = readlink(prefix, ret_target, PATH_MAX - 1);
		if (got >= 0) {
			ret_target[got] = '\0';
			return n;
		}
	}
	return 0;
}

/* Puts what a link holds in its place. False: that is too long. */
static bool follow(char path[static PATH_MAX], size_t n, const char *target)
{
	char whole[2 * PATH_MAX];
	size_t above = n;
	while (*target != '/' && above > 0 && path[above - 1] != '/')
		above--;
	int length = snprintf(whole, sizeof whole, "%.*s%s%s", *target == '/' ? 0 : (int)above, path, target, path + n);
	if (length < 0 || length >= PATH_MAX)
		return false;
	memcpy(path, whole, (size_t)length + 1);
	return true;
}

/*
 * Directories above may be replaced too: an application makes its directories again, or a filesystem is mounted again. Only the first two
 * levels of a path stay.
 */
static void add_above(struct sandbox *sandbox, const char *path)
{
	char directory[PATH_MAX];
	struct stat above, st;
	unsigned level = 0;
	dev_t device = stat("/", &above) == 0 ? above.st_dev : 0;
	for (size_t n = 1; path[n - 1] && n < sizeof directory; n++) {
		if (path[n] != '/' || path[n - 1] == '/')
			continue;
		memcpy(directory, path, n);
		directory[n] = '\0';
		if (++level == 2)
			add(sandbox, SANDBOX_READ_BELOW, directory);
		if (stat(directory, &st) < 0)
			return;
		if (st.st_dev != device)
			add_directory(sandbox, SANDBOX_READ_BELOW, directory, n);
		device = st.st_dev;
	}
}

/* The directories in which a file, or a link on the way to it, may be replaced. */
static void add_way(struct sandbox *sandbox, const char *from)
{
	char path[PATH_MAX], target[PATH_MAX];
	size_t n;
	if (snprintf(path, sizeof path, "%s", from) >= (int)sizeof path)
		return;
	for (int i = 0; i < LINKS_MAX && (n = first_link(path, target)) > 0; i++) {
		add_directory(sandbox, SANDBOX_READ_BELOW, path, n);
		if (!follow(path, n, target))
			return;
	}
	add_directory(sandbox, SANDBOX_READ_BELOW, path, length_of(path));
	add_above(sandbox, path);
}

void sandbox_allow(struct sandbox *sandbox, enum sandbox_use use, const char *path)
{
	add(sandbox, use, path);
	if (use == SANDBOX_READ || use == SANDBOX_READ_UNNOTICED)
		add_way(sandbox, path);
	if (use == SANDBOX_MAKE_FILES_AGAIN)
		add_directory(sandbox, SANDBOX_MAKE_FILES, path, length_of(path));
	if (use == SANDBOX_STORE)
		add_directory(sandbox, use, path, length_of(path));
}

void sandbox_allow_linked(struct sandbox *sandbox, const char *directory)
{
	DIR *d = opendir(directory);
	char path[PATH_MAX], ignored[1];
	for (const struct dirent *e; d && (e = readdir(d));)
		if (snprintf(path, sizeof path, "%s/%s", directory, e->d_name) < (int)sizeof path && readlink(path, ignored, sizeof ignored) > 0)
			add_way(sandbox, path);
	if (d)
		closedir(d);
}

void sandbox_allow_ca_directories(struct sandbox *sandbox, const char *list)
{
	cleanup_free char *copy = strdup(list);
	char *rest = copy;
	for (const char *directory; (directory = strsep(&rest, ":"));)
		if (*directory) {
			sandbox_allow(sandbox, SANDBOX_READ, directory);
			sandbox_allow_linked(sandbox, directory);
		}
}

void sandbox_allow_network(struct sandbox *sandbox)
{
	/* When the network changes, the resolver's files are replaced, also by links to other places. They also say which libraries it loads. */
	static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"};
	static const char *const below[] = {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf"};
	sandbox->network = true;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		sandbox_allow(sandbox, SANDBOX_READ, files[i]);
	for (size_t i = 0; i < sizeof below / sizeof *below; i++)
		add(sandbox, SANDBOX_READ_BELOW, below[i]);
}
