#include "ckfs/read.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

ssize_t read_patiently(int fd, void *to, size_t n)
{
	ssize_t got;
	do {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		got = poll(&p, 1, -1) < 0 ? -1 : read(fd, to, n);
	} while (got < 0 && (errno == EINTR || errno == EAGAIN));
	return got;
}
