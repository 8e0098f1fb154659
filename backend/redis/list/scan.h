/*
 * A scan of all keys: SCAN of one node after the other. Keys that are moved from one to another meanwhile may be met twice, or
 * not at all: a pass over all nodes is followed by another one until none can have been missed.
 *
 * A cursor of SCAN means something to one server process only: when that cannot be reached any more, the node is scanned again from its start.
 */
#ifndef CKFS_REDIS_SCAN_H
#define CKFS_REDIS_SCAN_H

#include "backend/redis/servers/nodes.h"

struct scan {
	struct redis_nodes *nodes; /* borrowed */
	struct node_list list;     /* of this pass; empty: none has begun */
	struct node_list before;   /* of the last whole pass before it; empty: there was none */
	size_t index;              /* of the node that is scanned */
	char at[24];               /* its cursor */
	bool node_ended;           /* it has no further keys */
	struct reached reached;    /* whose cursor that is */
	bool elsewhere;            /* another process was reached: it was not asked */
	unsigned passes;
};

void scan_init(struct scan *scan, struct redis_nodes *nodes);
void scan_done(struct scan *scan);

/* All that asks ends with -EINTR soon after *cancel (NULL: none) became true, and can be asked again. */

/* Goes to the next node if that is due. 1: there is something to ask for; 0: all keys were there; -errno. */
int scan_go_on(struct scan *scan, const atomic_bool *cancel);

/* Asks the node. 0; -errno; -ESTALE it is lost and another one is there instead, the pass has to begin again: scan_again(). */
int scan_ask(struct scan *scan, int (*ask)(struct redis_connection *connection, void *arg), void *arg, const atomic_bool *cancel);
void scan_again(struct scan *scan);

/* The same with a page of SCAN, which ends with scan_moved(): `ask` is not called where the cursor means nothing. */
int scan_ask_page(struct scan *scan, int (*ask)(struct redis_connection *connection, void *arg), void *arg, const atomic_bool *cancel);

/* Moves the cursor. False: it meant nothing; there is no page. */
bool scan_moved(struct scan *scan, const char next[24]);

#endif
