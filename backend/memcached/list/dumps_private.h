/* Dumps, for dump.c and dumps.c. */
#ifndef CKFS_MEMCACHED_DUMPS_PRIVATE_H
#define CKFS_MEMCACHED_DUMPS_PRIVATE_H

#include "dumps.h"
#include "rest.h"

#include <pthread.h>

enum dump_state { DUMP_NEW, DUMP_WAITS, DUMP_LOOKS, DUMP_GOES, DUMP_ENDED, DUMP_FAILED };

struct dump {
	struct dumps *dumps;
	struct dump *newer, *older; /* protected by dumps->lock */
	struct mc_server *server;
	struct spool *spool;
	int64_t ask_at;        /* monotonic ms: not before that; of DUMP_WAITS */
	int64_t patient_until; /* monotonic ms */
	uint64_t progress;     /* of the server's dumps, when it was looked at last */
	pthread_mutex_t lock;
	/* protected by lock */
	enum dump_state state;
	int failure;
	struct mc_connection *connection; /* NULL: none */
	bool is_crawling;         /* the server is, as far as DUMP_LOOKS has read */
	size_t taken;             /* bytes that were read since the last look at its speed */
	struct rest rest;         /* what was read ahead */
};

struct dumps {
	const atomic_bool *stop;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* protected by lock */
	struct dump *newest;
	pthread_t thread;
	bool has_thread, is_over;
};

/* Has the thread of all dumps look after one: started with the first. 0, -EAGAIN. */
int dumps_add(struct dumps *dumps, struct dump *dump);
void dumps_take_off(struct dump *dump);

#endif
