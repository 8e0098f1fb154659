/* An order to the process with privileges that is answered too late, for fuse-probe. */
#include "fuse_probe.h"

#include "fs/fuse/order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Answers each order with its number. */
static void *obey(void *socket)
{
	struct order order;
	while (order_take(*(int *)socket, &order) == 0)
		order_answer(*(int *)socket, &order, order.number);
	return NULL;
}

void probe_late_order(void)
{
	int sockets[2], number = 5, next;
	pthread_t other;
	if (order_sockets(sockets) < 0)
		abort();
	int late = order_give(sockets[0], &(struct order){.kind = ORDER_UNBACK, .number = number, .connection = -1, .content = -1});
	if (pthread_create(&other, NULL, obey, &sockets[1]) != 0)
		abort();
	do
		next = order_give(sockets[0], &(struct order){.kind = ORDER_BACK, .number = ++number, .connection = -1, .content = -1});
	while (next == -ETIMEDOUT);
	printf("[\"%s\", %d, %d]\n", strerrorname_np(-late), next, number);
	close(sockets[0]);
	pthread_join(other, NULL);
	close(sockets[1]);
}
