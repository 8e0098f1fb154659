/*
 * What a confined daemon has another process do (unmounter.h), which has kept root's capabilities. Orders go over one socket, one at a time.
 */
#ifndef CKFS_FUSE_ORDER_H
#define CKFS_FUSE_ORDER_H

#include <stdint.h>

/* A pair of sockets for it. 0, -errno. */
int order_sockets(int ret[static 2]);

enum order_kind {
	ORDER_UNMOUNT, /* has no answer */
	ORDER_BACK,    /* the kernel shall know a descriptor of content by a number */
	ORDER_UNBACK,  /* … and forget it */
};

struct order {
	enum order_kind kind;
	int32_t number;
	uint32_t serial; /* of the one that order_take() gave */
	int connection; /* to the kernel; -1: none is sent */
	int content;    /* a descriptor; -1: none is sent */
};

/* Gives an order and waits for the answer: 0 or more, -errno. -ETIMEDOUT: it may be obeyed later, and its answer is dropped then. */
int order_give(int socket, const struct order *order);

/* The next order, and whose descriptors it brings are the caller's. 0; -1: there will be none. */
int order_take(int socket, struct order *ret);
void order_answer(int socket, const struct order *order, int32_t outcome);

#endif
