#include "device.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* From this one on whoever does libfuse's reading and writing opens the device again for its threads, too. */
#define LIBFUSE_LEAVES_CLONING FUSE_MAKE_VERSION(3, 17)

/* A reply is written so often, after a pause each time; then its error alone. */
#define TRIES 20
#define PAUSE_NS 1000000

/* What the kernel could not do just now. Waits a moment, for the next try. */
static bool may_pass(int number)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	if (number != ENOMEM && number != EAGAIN && number != EINTR)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

/* -1 and ENOENT, as of a caller who has gone: what the reply was to hand over is taken back. `unique` 0: nobody waits for it. */
static ssize_t put_error(int fd, uint64_t unique)
{
	const struct fuse_out_header error = {.len = sizeof error, .error = -ENOMEM, .unique = unique};
	unsigned tries = 0;
	while (unique != 0 && write(fd, &error, sizeof error) < 0 && may_pass(errno) && ++tries < TRIES)
		;
	errno = ENOENT;
	return -1;
}

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
	unsigned tries = 0;
	ssize_t n;
	do
		n = writev(fd, iov, count);
	while (n < 0 && may_pass(errno) && ++tries < TRIES);
	return tries == TRIES ? put_error(fd, head->unique) : n;
}

static ssize_t get(int fd, void *buffer, size_t size, void *userdata)
{
	(void)userdata;
	ssize_t n = read(fd, buffer, size);
	/* The one errno after which libfuse tries again. */
	if (n < 0 && errno != EINTR && may_pass(errno))
		errno = EINTR;
	return n;
}

static ssize_t move(int from, off_t *from_at, int to, off_t *to_at, size_t n, unsigned flags, void *userdata)
{
	(void)userdata;
	return splice(from, from_at, to, to_at, n, flags);
}

#if FUSE_VERSION >= LIBFUSE_LEAVES_CLONING

/* A descriptor of the same mount, for a thread of its own. */
static int open_again(int fd)
{
	cleanup_close int ret = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	uint32_t session = (uint32_t)fd;
	return ret < 0 || ioctl(ret, FUSE_DEV_IOC_CLONE, &session) < 0 ? -1 : steal_fd(&ret);
}

int device_prepare(struct mount *m)
{
	static const struct fuse_custom_io io = {.writev = put, .read = get, .splice_receive = move, .splice_send = move, .clone_fd = open_again};
	return fuse_session_custom_io_317(m->session, &io, sizeof io, fuse_session_fd(m->session));
}

#else

int device_prepare(struct mount *m)
{
	static const struct fuse_custom_io io = {.writev = put, .read = get, .splice_receive = move, .splice_send = move};
	/* It was built with an older one: all threads would share one descriptor. */
	if (fuse_version() >= LIBFUSE_LEAVES_CLONING)
		return 0;
	return fuse_session_custom_io(m->session, &io, fuse_session_fd(m->session));
}

#endif

void device_init(struct mount *m, const struct fuse_conn_info *conn)
{
	m->init_is_due = conn->capable & FUSE_CAP_PARALLEL_DIROPS;
}
