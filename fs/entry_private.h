/* The inside of entries, for entry.c, kept.c and peel.c. */
#ifndef CKFS_ENTRY_PRIVATE_H
#define CKFS_ENTRY_PRIVATE_H

#include "ckfs/entry.h"
#include "ckfs/spool.h"
#include "ckfs/table.h"
#include "ckfs/work.h"

#include <pthread.h>
#include <stdatomic.h>

/* How long an entry that a lookup found stays open, in milliseconds, and how many do. */
#define KEPT_MS 1000
#define KEPT_MAX 256

/* Entries kept for a moment, in the order of their deadlines, and the thread that lets them go. */
struct kept {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* protected by lock */
	struct entry *first, *last;
	unsigned count;
	bool started, ending;
	pthread_t thread;
};

struct entries {
	const struct options *options;
	struct backend *backend;
	struct known_keys *known;
	struct stats *stats;
	struct learnt *learnt;
	struct work_pool *pool;
	struct spool spool;
	struct kept kept;
	atomic_bool stopping;
	pthread_mutex_t lock;
	struct table held; /* protected by lock: shared entries */
};

struct entry {
	struct entries *entries;
	/* immutable */
	struct key key;
	bool interop;
	bool shared; /* in entries->held */
	struct stored stored;

	struct table_node node; /* protected by entries->lock */
	unsigned refs;          /* protected by entries->lock */
	bool dropped;           /* protected by entries->lock: who comes from now on starts afresh */

	/* protected by entries->kept.lock */
	bool is_kept;
	struct timespec kept_until;
	struct entry *kept_before, *kept_after;

	pthread_mutex_t lock;
	/* protected by lock */
	enum level level;
	bool peeling; /* one thread writes what follows for the next level, unlocked; nobody reads it before `level` says so */
	struct entry_wait *waiting;
	atomic_bool cancel;
	struct work work;

	/* LEVEL_STORED, rewritten on the way to LEVEL_PAYLOAD */
	struct frame frame;
	int frame_fault;
	const char *frame_reason;
	bool maybe_legacy;
	/* LEVEL_PAYLOAD */
	struct slice payload;
	/* LEVEL_DOCUMENT */
	struct document document;
	bool has_verdict; /* it was remembered */
	/* LEVEL_CHECKED */
	struct verdict verdict;
};

/* Reads the frame of a new entry. 0; -EIO, -ENOMEM. */
int peel_stored(struct entry *entry);

int kept_init(struct kept *kept);
void kept_add(struct kept *kept, struct entry *entry);
void kept_drop(struct kept *kept);
void kept_done(struct kept *kept);

#endif
