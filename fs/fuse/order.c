#include "order.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* An answer is waited for so long: it takes a few microseconds, unless somebody has stopped the process. */
#define ORDER_MS 2000

/* What goes over the socket, beside the descriptors. */
struct message {
	int32_t kind, number;
	uint32_t serial;
};

struct answer {
	uint32_t serial; /* of the order: one that nobody waits for any more may be answered first */
	int32_t outcome;
};

/* Room for two descriptors. */
union control {
	char bytes[CMSG_SPACE(2 * sizeof(int))];
	struct cmsghdr alignment;
};

int order_sockets(int ret[static 2])
{
	const struct timeval patience = {.tv_sec = ORDER_MS / 1000};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) < 0)
		return -errno;
	(void)setsockopt(ret[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	(void)setsockopt(ret[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	return 0;
}

static void put_descriptors(const struct order *order, union control *control, struct msghdr *header)
{
	const int fds[] = {order->connection, order->content};
	const size_t count = order->connection < 0 ? 0 : order->content < 0 ? 1 : 2;
	if (count == 0)
		return;
	header->msg_control = control->bytes;
	header->msg_controllen = CMSG_SPACE(count * sizeof *fds);
	struct cmsghdr *c = CMSG_FIRSTHDR(header);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof *fds);
	memcpy(CMSG_DATA(c), fds, count * sizeof *fds);
}

static int give(int socket, const struct order *order, uint32_t serial)
{
	struct message message = {.kind = (int32_t)order->kind, .number = order->number, .serial = serial};
	struct iovec iov = {.iov_base = &message, .iov_len = sizeof message};
	union control control = {.bytes = {0}};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;
	put_descriptors(order, &control, &header);
	do
		n = sendmsg(socket, &header, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int await_answer(int socket, uint32_t serial)
{
	struct answer answer;
	ssize_t n;
	do
		n = recv(socket, &answer, sizeof answer, 0);
	while ((n < 0 && errno == EINTR) || (n == sizeof answer && answer.serial != serial));
	if (n < 0)
		return -errno;
	return n == sizeof answer ? answer.outcome : -EPIPE;
}

int order_give(int socket, const struct order *order)
{
	static atomic_uint_least32_t last;
	const uint32_t serial = atomic_fetch_add(&last, 1) + 1;
	int r = give(socket, order, serial);
	if (r == 0 && order->kind != ORDER_UNMOUNT)
		r = await_answer(socket, serial);
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

int order_take(int socket, struct order *ret)
{
	struct message message = {0};
	struct iovec iov = {.iov_base = &message, .iov_len = sizeof message};
	union control control = {.bytes = {0}};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
	int fds[2] = {-1, -1};
	ssize_t n;
	do
		n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != sizeof message)
		return -1;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&header);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	*ret = (struct order){.kind = (enum order_kind)message.kind, .number = message.number, .serial = message.serial, .connection = fds[0], .content = fds[1]};
	return 0;
}

void order_answer(int socket, const struct order *order, int32_t outcome)
{
	const struct answer answer = {.serial = order->serial, .outcome = outcome};
	(void)send(socket, &answer, sizeof answer, MSG_NOSIGNAL);
}
