#include "backing.h"

#include "mount.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>

#ifdef FUSE_DEV_IOC_BACKING_OPEN

int backing_obey(const struct order *order)
{
	struct fuse_backing_map map = {.fd = order->content};
	uint32_t number = (uint32_t)order->number;
	int r = order->kind == ORDER_BACK ? ioctl(order->connection, FUSE_DEV_IOC_BACKING_OPEN, &map)
					   : ioctl(order->connection, FUSE_DEV_IOC_BACKING_CLOSE, &number);
	return r < 0 ? -errno : r;
}

#else

int backing_obey(const struct order *order)
{
	(void)order;
	return -EOPNOTSUPP;
}

#endif

static int ask(const struct mount *m, const struct order *order)
{
	return m->unmounter.socket < 0 ? backing_obey(order) : order_give(m->unmounter.socket, order);
}

int backing_open(struct mount *m, int fd)
{
	return ask(m, &(struct order){.kind = ORDER_BACK, .connection = fuse_session_fd(m->session), .content = fd});
}

void backing_close(struct mount *m, int number)
{
	(void)ask(m, &(struct order){.kind = ORDER_UNBACK, .number = number, .connection = fuse_session_fd(m->session), .content = -1});
}
