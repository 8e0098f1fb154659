#include "names.h"

#include "backend/remote/key_prefix.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/table.h"

#include <errno.h>
#include <stdlib.h>

/* Of a batch: so many that waking the thread for the next one does not count. A slow server gives fewer, in milliseconds. */
#define BATCH_KEYS 2048
#define BATCH_MS 20

/* --- the thread that makes keys --- */

/* Goes to the next server. */
static void leave_server(struct mc_names *n, int r)
{
	if (n->failed == 0)
		n->failed = r;
	dump_close(steal(n->dump));
	n->at++;
}

/* The next item of the server that is listed: as mc_names_next(). */
static int next_item(struct mc_names *n, const atomic_bool *cancel)
{
	struct mc_server *server = &n->b->servers[n->order[n->at]];
	int r = n->has_item ? 1 : 0;
	if (r == 0 && !n->dump && (r = dump_open(n->b->dumps, server, n->b->backend.spool, &n->dump)) < 0)
		return r;
	while (!n->has_item) {
		r = dump_next(n->dump, cancel, &n->item);
		if (r == -EINTR)
			return r;
		if (r <= 0) {
			leave_server(n, r);
			return 0;
		}
		n->has_item = placement_of(&n->b->source, n->item.key, n->item.length) == n->order[n->at];
	}
	return 1;
}

/* The next key of that server: the same. */
static int next_key(struct mc_names *n, const atomic_bool *cancel, struct mc_named *ret)
{
	struct mc_server *server = &n->b->servers[n->order[n->at]];
	struct key key;
	int r;
	while ((r = next_item(n, cancel)) == 1) {
		r = key_prefix_cut(&n->b->backend, n->item.key, n->item.length, &key);
		if (r < 0)
			return r;
		n->has_item = false;
		if (r == 1) {
			*ret = (struct mc_named){.key = key, .server = server, .size = n->item.size};
			return 1;
		}
	}
	return r;
}

static int make_batch(struct ahead *ahead, const atomic_bool *cancel)
{
	struct mc_names *n = container_of(ahead, struct mc_names, ahead);
	struct mc_batch *batch = &n->coming;
	const int64_t end = clock_ms() + BATCH_MS;
	int r = 1;
	while (r == 1 && batch->count < BATCH_KEYS && (batch->count == 0 || clock_ms() < end)) {
		r = next_key(n, cancel, &batch->keys[batch->count]);
		batch->count += r == 1;
	}
	return batch->r = r;
}

/* --- who shows them --- */

static void drop_keys(struct mc_batch *batch)
{
	for (; batch->next < batch->count; batch->next++)
		key_done(&batch->keys[batch->next].key);
}

/* Has the keys that come next made. Without memory for them, they are made when they are wanted. */
static void look_ahead(struct mc_names *n)
{
	struct mc_batch *batch = &n->coming;
	if (!batch->keys && !(batch->keys = malloc(BATCH_KEYS * sizeof *batch->keys)))
		return;
	batch->count = batch->next = 0;
	n->is_ahead = true;
	ahead_begin(&n->ahead, n->b->ahead, make_batch);
}

/* Waits for the batch that is made. 0; -EINTR it goes on. */
static int take_batch(struct mc_names *n, const atomic_bool *cancel)
{
	int ignored; /* it is in the batch */
	int r = ahead_wait(&n->ahead, cancel, &ignored);
	if (r < 0)
		return r;
	n->is_ahead = false;
	/* All threads that look ahead are busy with other listings. */
	if (r == 1)
		make_batch(&n->ahead, cancel);
	const struct mc_batch before = n->shown;
	n->shown = n->coming;
	n->coming = before;
	return 0;
}

/* What comes behind the batch that was shown. 1: more. */
static int take_end(struct mc_batch *batch)
{
	const int r = batch->r;
	batch->r = 1;
	return r;
}

int mc_names_next(struct mc_names *names, bool ahead, const atomic_bool *cancel, struct mc_named *ret)
{
	struct mc_names *n = names;
	struct mc_batch *batch = &n->shown;
	for (;;) {
		if (batch->next < batch->count) {
			*ret = batch->keys[batch->next++];
			return 1;
		}
		int r = take_end(batch);
		if (r != 1)
			return r;
		/* A server that has yet to be reached is waited for here, where its reader is heard. */
		if (!n->is_ahead) {
			r = next_key(n, cancel, ret);
			if (r == 1 && ahead)
				look_ahead(n);
			return r;
		}
		r = take_batch(n, cancel);
		if (r < 0)
			return r;
		if (batch->r == 1 && ahead)
			look_ahead(n);
	}
}

bool mc_names_are_over(const struct mc_names *names, int *ret_failed)
{
	const struct mc_names *n = names;
	if (n->is_ahead || n->shown.next < n->shown.count || n->at < n->b->source.count)
		return false;
	*ret_failed = n->failed;
	return true;
}

/* Servers that have stopped to answer come last, and hold up no others. */
static void choose_order(struct mc_names *n)
{
	size_t first = 0, last = n->b->source.count;
	for (size_t i = 0; i < n->b->source.count; i++)
		n->order[silence_is_on(&n->b->servers[i].silence) ? --last : first++] = i;
}

void mc_names_begin(struct mc_names *names, struct mc_backend *b)
{
	names->b = b;
	names->shown.r = names->coming.r = 1;
	choose_order(names);
}

void mc_names_end(struct mc_names *names)
{
	if (names->is_ahead) {
		ahead_drop(&names->ahead);
		drop_keys(&names->coming);
	}
	drop_keys(&names->shown);
	free(names->shown.keys);
	free(names->coming.keys);
	dump_close(names->dump);
}
