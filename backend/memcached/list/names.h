/*
 * The keys of a listing: the dump of one server after the other. A key counts where the SDK would ask for it; a copy of it elsewhere is an old one. While
 * keys are shown, another thread makes those that come next of what the server sends.
 */
#ifndef CKFS_MEMCACHED_NAMES_H
#define CKFS_MEMCACHED_NAMES_H

#include "dumps.h"

#include "backend/memcached/value/mc_backend.h"
#include "backend/remote/ahead.h"

struct mc_named {
	struct key key; /* owned */
	struct mc_server *server;
	uint64_t size;  /* of mc_item */
};

/* Keys of one server that were made together. */
struct mc_batch {
	struct mc_named *keys; /* owned; NULL: none was needed yet */
	size_t count, next;
	int r; /* what comes behind them: 1 more of that server; else as of mc_names_next() */
};

struct mc_names {
	/* Of the thread that makes keys. */
	struct mc_backend *b;
	size_t order[ADDRESSES_MAX]; /* the numbers of the servers, as they are listed */
	size_t at;                   /* of those, the one that is listed */
	struct dump *dump;           /* of that; NULL: none has begun */
	int failed;                  /* what became of the first server that could not be listed to its end */
	bool has_item;               /* one that was not taken yet, for lack of memory */
	struct mc_item item;

	/* Of who shows them. */
	struct mc_batch shown, coming;
	struct ahead ahead;
	bool is_ahead; /* another thread makes `coming` */
};

/* `names` is all zero. Asks nothing yet. */
void mc_names_begin(struct mc_names *names, struct mc_backend *b);

/*
 * The next key, which is the caller's. `ahead`: many more are wanted, soon. 1; 0 there are no more of the server that is listed, and the next one
 * is listed now; -EINTR, -ENOMEM, and -EAGAIN for want of a thread.
 */
int mc_names_next(struct mc_names *names, bool ahead, const atomic_bool *cancel, struct mc_named *ret);

/* Whether all keys were given, and what became of the first server that could not be listed to its end. */
bool mc_names_are_over(const struct mc_names *names, int *ret_failed);

void mc_names_end(struct mc_names *names);

#endif
