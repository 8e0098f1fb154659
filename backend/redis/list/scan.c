#include "scan.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <string.h>

/* Servers that are restarted, or keys that are moved, without end are not scanned for ever. */
#define PASSES_MAX 16

void scan_init(struct scan *scan, struct redis_nodes *nodes)
{
	*scan = (struct scan){.nodes = nodes};
}

void scan_done(struct scan *scan)
{
	node_list_done(scan->nodes, &scan->list);
	node_list_done(scan->nodes, &scan->before);
}

void scan_again(struct scan *scan)
{
	node_list_done(scan->nodes, &scan->list);
}

static int count_pass(struct scan *scan)
{
	return ++scan->passes > PASSES_MAX ? -EIO : 0;
}

static void begin_node(struct scan *scan)
{
	strcpy(scan->at, "0");
	scan->node_ended = scan->elsewhere = false;
	scan->reached = (struct reached){0};
}

static int begin_pass(struct scan *scan)
{
	int r = count_pass(scan);
	if (r == 0)
		r = nodes_list(scan->nodes, &scan->list);
	/* A topology without nodes has its keys nowhere. */
	if (r == 0 && scan->list.count == 0)
		r = -EAGAIN;
	scan->index = 0;
	begin_node(scan);
	return r;
}

/*
 * Whether no key can have been missed by this pass and the one before. A key that was moved once during a pass may have gone
 * from a node that was still to be scanned to one that had been; another pass finds it there. It is missed by both only if it was
 * moved twice: its slot has to have changed its master in between.
 */
static bool is_whole(const struct scan *scan, const struct node_list *now, bool moving)
{
	const struct redis_topology *this = &scan->list.topology;
	if (!moving && topology_moves(this, this, &now->topology) == 0)
		return true;
	return scan->before.count > 0 && topology_moves(&scan->before.topology, this, &now->topology) <= 1;
}

/* 1: another pass has begun; 0: there is no need; -errno. */
static int end_pass(struct scan *scan, const atomic_bool *cancel)
{
	struct node_list now;
	bool moving;
	int r = nodes_settle(scan->nodes, &scan->list, cancel, &moving);
	if (r == -ESTALE) {
		scan_again(scan);
		r = begin_pass(scan);
		return r < 0 ? r : 1;
	}
	if (r == 0 && scan->index < scan->list.count) {
		/* Servers without slots have come to light: they are part of this pass. */
		begin_node(scan);
		return 1;
	}
	if (r == 0)
		r = nodes_list(scan->nodes, &now);
	if (r < 0)
		return r;
	if (is_whole(scan, &now, moving)) {
		node_list_done(scan->nodes, &now);
		/* All names were shown that can be had. There may be more. */
		return topology_is_covered(&scan->list.topology) ? 0 : -EAGAIN;
	}
	node_list_done(scan->nodes, &scan->before);
	scan->before = scan->list;
	scan->list = now;
	scan->index = 0;
	begin_node(scan);
	r = count_pass(scan);
	return r < 0 ? r : 1;
}

int scan_go_on(struct scan *scan, const atomic_bool *cancel)
{
	int r = scan->list.count == 0 ? begin_pass(scan) : scan->passes > PASSES_MAX ? -EIO : 0;
	if (r < 0)
		return r;
	if (scan->node_ended && scan->index < scan->list.count) {
		scan->index++;
		begin_node(scan);
	}
	return scan->index < scan->list.count ? 1 : end_pass(scan, cancel);
}

int scan_ask(struct scan *scan, int (*ask)(struct redis_connection *connection, void *arg), void *arg, const atomic_bool *cancel)
{
	return nodes_ask_one(scan->nodes, &scan->list, scan->index, NULL, ask, arg, cancel);
}

struct page {
	struct scan *scan;
	int (*ask)(struct redis_connection *connection, void *arg);
	void *arg;
};

static int ask_page(struct redis_connection *c, void *arg)
{
	struct page *page = arg;
	struct scan *scan = page->scan;
	bool begins = strcmp(scan->at, "0") == 0;
	scan->elsewhere = !begins && !reached_by(&scan->reached, c);
	if (scan->elsewhere)
		return 0;
	if (begins)
		scan->reached = reached_of(c);
	c->paged_at = clock_ms();
	return page->ask(c, page->arg);
}

int scan_ask_page(struct scan *scan, int (*ask)(struct redis_connection *connection, void *arg), void *arg, const atomic_bool *cancel)
{
	struct reached reached = scan->reached;
	return nodes_ask_one(scan->nodes, &scan->list, scan->index, &reached, ask_page, &(struct page){scan, ask, arg}, cancel);
}

bool scan_moved(struct scan *scan, const char next[24])
{
	if (scan->elsewhere) {
		/* Counted, so that it comes to an end. */
		scan->passes++;
		begin_node(scan);
		return false;
	}
	strcpy(scan->at, next);
	scan->node_ended = strcmp(next, "0") == 0;
	return true;
}
