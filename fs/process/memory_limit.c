/*
 * /proc/self/cgroup tells the group's path in each hierarchy, "number:controllers:path", and /proc/self/mountinfo where that hierarchy is mounted. Each
 * group from there up to the mount may have a limit.
 */
#include "ckfs/memory_limit.h"

#include "ckfs/cleanup.h"
#include "ckfs/mountinfo.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

/* A kind of hierarchy, and which files of its groups hold a limit. */
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

/* The limit in a file. No number: no limit. */
static uint64_t read_limit(const char *directory, const char *name)
{
	cleanup_free char *path = NULL;
	unsigned long long n = 0;
	if (asprintf(&path, "%s/%s", directory, name) < 0)
		return UINT64_MAX;
	cleanup_with(file_close) FILE *file = fopen(path, "re");
	return file && fscanf(file, "%20llu", &n) == 1 && n > 0 ? n : UINT64_MAX;
}

/* The path of a group relative to another one that contains it, or is it. NULL: it lies elsewhere. */
static const char *below(const char *path, const char *top)
{
	size_t n = strcmp(top, "/") == 0 ? 0 : strlen(top);
	if (strncmp(path, top, n) != 0 || (path[n] != '/' && path[n] != '\0') || strstr(path, "/.."))
		return NULL;
	return strcmp(path + n, "/") == 0 ? "" : path + n;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t limit_of(const struct hierarchy *h, const char *directory)
{
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < 2 && h->files[i]; i++)
		least = least_of(least, read_limit(directory, h->files[i]));
	return least;
}

/* The least limit of a group and of all above it that are mounted. */
static uint64_t limit_up_from(const struct hierarchy *h, const char *point, const char *group)
{
	cleanup_free char *directory = NULL;
	if (asprintf(&directory, "%s%s", point, group) < 0)
		return UINT64_MAX;
	uint64_t least = limit_of(h, directory);
	while (strlen(directory) > strlen(point)) {
		*strrchr(directory, '/') = '\0';
		least = least_of(least, limit_of(h, directory));
	}
	return least;
}

/* The least limit of the mounts that our group lies below. If there are none, we see only what is mounted. */
static uint64_t limit_in(const struct hierarchy *h)
{
	cleanup_free char *path = path_of_group(h);
	cleanup_with(file_close) FILE *file = path ? fopen("/proc/self/mountinfo", "re") : NULL;
	cleanup_free char *line = NULL;
	size_t capacity = 0;
	uint64_t ours = UINT64_MAX, mounted = UINT64_MAX;
	bool found = false;
	while (file && getline(&line, &capacity, file) >= 0) {
		struct mountinfo mount;
		if (!mountinfo_parse(line, &mount) || strcmp(mount.type, h->type) != 0 || (*h->controller && !has_word(mount.options, h->controller)))
			continue;
		const char *group = below(path, mount.root);
		if (group)
			ours = least_of(ours, limit_up_from(h, mount.point, group));
		else
			mounted = least_of(mounted, limit_of(h, mount.point));
		found |= group != NULL;
	}
	return found ? ours : mounted;
}

/* The limits of the process itself, as batch schedulers set them. RLIM_INFINITY is UINT64_MAX. */
static uint64_t limit_of_process(void)
{
	static const int numbers[] = {RLIMIT_AS, RLIMIT_DATA};
	uint64_t least = UINT64_MAX;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct rlimit limit;
		if (getrlimit(numbers[i], &limit) == 0)
			least = least_of(least, limit.rlim_cur);
	}
	return least;
}

uint64_t memory_limit(void)
{
	struct sysinfo info;
	uint64_t least = limit_of_process();
	if (sysinfo(&info) == 0)
		least = least_of(least, (uint64_t)info.totalram * info.mem_unit);
	for (size_t i = 0; i < sizeof hierarchies / sizeof *hierarchies; i++)
		least = least_of(least, limit_in(&hierarchies[i]));
	return least;
}
