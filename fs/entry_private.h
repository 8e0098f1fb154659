/* The inside of entries, for entry*.c, kept.c and peel*.c. */
#ifndef CKFS_ENTRY_PRIVATE_H
#define CKFS_ENTRY_PRIVATE_H

#include "ckfs/cache.h"
#include "ckfs/decode.h"
#include "ckfs/entry.h"
#include "ckfs/spool.h"
#include "ckfs/table.h"
#include "ckfs/work.h"

#include <pthread.h>
#include <stdatomic.h>

/* How long an entry that a lookup found stays open, in milliseconds, and how many do. */
#define KEPT_MS 1000
#define KEPT_MAX 256

/* Values that are fetched at once. It leaves some of the connections to a server for lookups, which are short. */
#define FETCHES_MAX 12

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
	const struct keyring *keyring;
	struct learnt *learnt;
	struct cache *cache;
	struct work_pool *decoders; /* one thread a core */
	struct work_pool *fetchers; /* threads that wait for a remote backend: none starts for a local one */
	struct spool spool;
	struct kept kept;
	atomic_bool stopping;
	atomic_uint_least64_t asks; /* for expiries, counted as they begin */
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
	int64_t expires;        /* protected by entries->lock: as the latest ask has told */
	uint64_t expires_ask;   /* protected by entries->lock: its number */

	/* protected by entries->kept.lock */
	bool is_kept;
	struct timespec kept_until;
	struct entry *kept_before, *kept_after;

	pthread_mutex_t lock;
	/* protected by lock */
	unsigned have; /* what follows is there: bits of enum part */
	bool peeling; /* one thread writes the next part, unlocked; nobody reads it before `have` says so */
	struct entry_wait *waiting;
	atomic_bool cancel;
	struct work work;
	struct work_pool *place; /* whose thread peels; of the thread that peels */

	/* from the beginning, rewritten on the way to HAVE_PAYLOAD */
	struct frame frame;
	int frame_fault;
	const char *frame_reason;
	bool frame_unread; /* more of the value is needed for it */
	bool needs_whole;  /* a step has asked for more of the value than there was; of the thread that peels */
	/* HAVE_PAYLOAD */
	struct slice payload;
	uint64_t locate_cost;
	/* HAVE_DOCUMENT */
	struct document document; /* of a sealed payload, only what the frame tells */
	bool opens;               /* a seal has to be opened, or may have to be */
	bool unfit;               /* no key fits by fingerprint */
	int key_number;           /* the key to be tried; -1: each */
	/* HAVE_VERDICT */
	struct verdict verdict;
	/* HAVE_BODY */
	struct slice body; /* of a sealed array, document.array comes with it */
	/* HAVE_RENDERED */
	struct rendered rendered;
	/* HAVE_JSON */
	struct slice json;
	/* HAVE_SUMMARY */
	struct slice columns; /* of a dataframe or a series, as JSON; empty: it is not of that form */
};

/* Parts of an entry. They come in any order that makes sense: what was learnt before is there without its content. */
enum part {
	HAVE_PAYLOAD = 1,
	HAVE_DOCUMENT = 2,
	HAVE_VERDICT = 4,
	HAVE_BODY = 8,
	HAVE_RENDERED = 16,
	HAVE_JSON = 32,
	HAVE_SUMMARY = 64,
	HAVE_WHOLE = 128, /* the stored value: nothing more has to be fetched */
};

/* entry_state.c: whether a level is reached with these parts. */
bool entry_is_at(const struct entry *entry, unsigned have, enum level level);

/* Whether there is a document, and nothing is wrong with it, as far as these parts tell. */
bool entry_is_sound(const struct entry *entry, unsigned have);

/* Whether the document must be checked before it is served. */
bool entry_wants_check(const struct entry *entry);

/* Work that brings an entry nearer to a level. */
struct step {
	/* Makes parts, and adds their bits to *have. 0, -errno. */
	int (*run)(struct entry *entry, unsigned *have);
	/* Bytes that it reads or makes. */
	uint64_t (*cost)(struct entry *entry, unsigned have);
};

/* peel_steps.c */
extern const struct step step_fetch;

/* peel_decode.c */
extern const struct step step_body, step_json, step_summary;

/* peel_steps.c: the next step on the way to a level that is not reached. */
const struct step *step_towards(const struct entry *entry, unsigned have, enum level level);

/* Reads the frame of a new entry. 0; -EIO, -ENOMEM. */
int peel_stored(struct entry *entry);

int kept_init(struct kept *kept);
void kept_add(struct kept *kept, struct entry *entry);
void kept_drop(struct kept *kept);
void kept_done(struct kept *kept);

#endif
