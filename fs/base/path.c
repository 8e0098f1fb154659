#include "ckfs/path.h"

#include "ckfs/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int path_absolute(const char *path, char **ret)
{
	cleanup_free char *directory = NULL;
	char *absolute;
	if (path[0] == '/') {
		absolute = strdup(path);
	} else {
		directory = getcwd(NULL, 0);
		if (!directory)
			return -errno;
		if (asprintf(&absolute, "%s/%s", directory, path) < 0)
			absolute = NULL;
	}
	if (!absolute)
		return -ENOMEM;
	*ret = absolute;
	return 0;
}

int path_descriptor(const char *path)
{
	static const char *const directories[] = {"/dev/fd/", "/proc/self/fd/"};
	if (strcmp(path, "/dev/stdin") == 0)
		return STDIN_FILENO;
	for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
		size_t n = strlen(directories[i]);
		char *end;
		if (strncmp(path, directories[i], n) != 0 || !isdigit((unsigned char)path[n]))
			continue;
		long fd = strtol(path + n, &end, 10);
		return *end || fd > 1 << 30 ? -1 : (int)fd;
	}
	return -1;
}

int path_open(const char *path)
{
	int named = path_descriptor(path);
	int fd = named < 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : fcntl(named, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return fd < 0 ? -errno : fd;
}
