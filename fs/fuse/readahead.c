#include "readahead.h"

#include "mountpoint.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * Four requests of 1 MiB: while one is copied, the next ones are under way. Measured from 128 KiB to 16 MiB; a
 * reader that maps and jumps about gets as much around each first touch, which is why it is not more.
 */
#define READAHEAD_KB "4096"

void readahead_tune(struct mount *m)
{
	struct mounted mounted;
	char path[64];
	if (atomic_exchange(&m->tuned, true))
		return;
	if (!mountpoint_find(m->options->mountpoint, &mounted))
		return;
	snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major(mounted.device), minor(mounted.device));
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* Reads are slower without it, but right. */
	ssize_t ignored = write(fd, READAHEAD_KB, strlen(READAHEAD_KB));
	(void)ignored;
	close(fd);
}
