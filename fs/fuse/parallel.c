#include "parallel.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

/* The first that passes it on. */
#define LIBFUSE_PASSES_IT 317

/* What goes to the kernel: the answer to INIT is the first that answers a request. */
static ssize_t put(int fd, struct iovec *iov, int count, void *userdata)
{
	struct mount *m = userdata;
	const struct fuse_out_header *head = iov[0].iov_base;
	if (m->init_is_due && head->unique != 0) {
		m->init_is_due = false;
		if (head->error == 0 && count > 1 && iov[1].iov_len >= FUSE_COMPAT_22_INIT_OUT_SIZE)
			((struct fuse_init_out *)iov[1].iov_base)->flags |= FUSE_PARALLEL_DIROPS;
	}
	return writev(fd, iov, count);
}

static ssize_t get(int fd, void *buffer, size_t size, void *userdata)
{
	(void)userdata;
	return read(fd, buffer, size);
}

static ssize_t move(int from, off_t *from_at, int to, off_t *to_at, size_t n, unsigned flags, void *userdata)
{
	(void)userdata;
	return splice(from, from_at, to, to_at, n, flags);
}

int parallel_prepare(struct mount *m)
{
	static const struct fuse_custom_io io = {.writev = put, .read = get, .splice_receive = move, .splice_send = move};
	if (fuse_version() >= LIBFUSE_PASSES_IT)
		return 0;
	return fuse_session_custom_io(m->session, &io, fuse_session_fd(m->session));
}

void parallel_init(struct mount *m, const struct fuse_conn_info *conn)
{
	m->init_is_due = conn->capable & FUSE_CAP_PARALLEL_DIROPS;
}
