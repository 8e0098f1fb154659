/*
 * /proc/self/cgroup tells the group's path in each hierarchy, "number:controllers:path", and /proc/self/mountinfo where that hierarchy is mounted. Each
 * group from there up to the mount may have a limit.
 */
#include "ckfs/memory_limit.h"

#include "ckfs/cleanup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

/* A kind of hierarchy, and the files with a limit that its groups have. */
struct hierarchy {
	const char *type;       /* of its mount */
	const char *controller; /* "": all there are */
	const char *files[2];
};

static const struct hierarchy hierarchies[] = {
	{"cgroup2", "", {"memory.max", "memory.high"}},
	{"cgroup", "memory", {"memory.limit_in_bytes", NULL}},
};

static void file_close(FILE **file)
{
	if (*file)
		fclose(*file);
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *at = list; (at = strstr(at, word)); at++)
		if ((at == list || at[-1] == ',') && (at[n] == '\0' || at[n] == ','))
			return true;
	return false;
}

/* The path of our group, owned by the caller; NULL: none. */
static char *path_of_group(const struct hierarchy *h)
{
	cleanup_with(file_close) FILE *file = fopen("/proc/self/cgroup", "re");
	cleanup_free char *line = NULL;
	size_t capacity = 0;
	while (file && getline(&line, &capacity, file) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		if (*h->controller ? has_word(controllers + 1, h->controller) : controllers[1] == '\0')
			return strdup(path);
	}
	return NULL;
}

/* Where a hierarchy is mounted, and which of its groups is there, both owned by the caller. */
static bool find_mount(const struct hierarchy *h, char **ret_root, char **ret_point)
{
	cleanup_with(file_close) FILE *file = fopen("/proc/self/mountinfo", "re");
	cleanup_free char *line = NULL;
	size_t capacity = 0;
	while (file && getline(&line, &capacity, file) >= 0) {
		char type[32], options[256];
		cleanup_free char *root = NULL;
		cleanup_free char *point = NULL;
		const char *rest = strstr(line, " - ");
		if (!rest || sscanf(rest, " - %31s %*s %255s", type, options) != 2 || strcmp(type, h->type) != 0)
			continue;
		if ((*h->controller && !has_word(options, h->controller)) || sscanf(line, "%*s %*s %*s %ms %ms", &root, &point) != 2)
			continue;
		*ret_root = steal(root);
		*ret_point = steal(point);
		return true;
	}
	return false;
}

/* The limit that a file tells; what is no number is none. */
static uint64_t read_limit(const char *directory, const char *name)
{
	cleanup_free char *path = NULL;
	unsigned long long n = 0;
	if (asprintf(&path, "%s/%s", directory, name) < 0)
		return UINT64_MAX;
	cleanup_with(file_close) FILE *file = fopen(path, "re");
	return file && fscanf(file, "%20llu", &n) == 1 && n > 0 ? n : UINT64_MAX;
}

/* The group's path below the mount. A group that lies outside of it is seen as the mount itself. */
static const char *below(const char *path, const char *root)
{
	size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
	bool is_below = strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0') && !strstr(path, "/..");
	return is_below && strcmp(path + n, "/") != 0 ? path + n : "";
}

static uint64_t limit_of(const struct hierarchy *h, const char *directory)
{
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < 2 && h->files[i]; i++) {
		uint64_t limit = read_limit(directory, h->files[i]);
		least = limit < least ? limit : least;
	}
	return least;
}

/* The least limit of our group and all above it. */
static uint64_t limit_in(const struct hierarchy *h)
{
	cleanup_free char *path = path_of_group(h);
	cleanup_free char *root = NULL;
	cleanup_free char *point = NULL;
	cleanup_free char *directory = NULL;
	if (!path || !find_mount(h, &root, &point) || asprintf(&directory, "%s%s", point, below(path, root)) < 0)
		return UINT64_MAX;
	uint64_t least = limit_of(h, directory);
	while (strlen(directory) > strlen(point)) {
		*strrchr(directory, '/') = '\0';
		uint64_t limit = limit_of(h, directory);
		least = limit < least ? limit : least;
	}
	return least;
}

uint64_t memory_limit(void)
{
	struct sysinfo info;
	uint64_t least = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : UINT64_MAX;
	for (size_t i = 0; i < sizeof hierarchies / sizeof *hierarchies; i++) {
		uint64_t limit = limit_in(&hierarchies[i]);
		least = limit < least ? limit : least;
	}
	return least;
}
