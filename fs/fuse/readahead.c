#include "readahead.h"

#include "mountpoint.h"

#include "ckfs/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Four requests of 1 MiB: while one is copied, the next ones are under way. Measured from 128 KiB to 16 MiB. */
#define STREAMED_KB 4096

/* The kernel reads as much around each first touch of a mapping. Measured from 32 to 512 KiB. */
#define MAPPED_KB 128

/* What is not larger is read whole whatever the read-ahead is. */
#define SMALL (128 << 10)

bool readahead_path(const struct mount *m, char ret[static READAHEAD_PATH_SIZE])
{
	struct mounted mounted;
	if (!mountpoint_find(m->options->mountpoint, &mounted))
		return false;
	snprintf(ret, READAHEAD_PATH_SIZE, "/sys/class/bdi/%u:%u/read_ahead_kb", major(mounted.device), minor(mounted.device));
	return true;
}

static bool set(const struct mount *m, int kb)
{
	char path[READAHEAD_PATH_SIZE], text[16];
	if (!readahead_path(m, path))
		return false;
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	int n = snprintf(text, sizeof text, "%d", kb);
	bool is = write(fd, text, (size_t)n) == n;
	close(fd);
	return is;
}

void readahead_tune(struct mount *m, const struct view *view, uint64_t size)
{
	int kb = view->mapped ? MAPPED_KB : STREAMED_KB;
	int before = atomic_load(&m->readahead_kb);
	if (size <= SMALL || before == kb || before == -1)
		return;
	atomic_store(&m->readahead_kb, set(m, kb) ? kb : -1);
}
