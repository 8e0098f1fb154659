/* The inside of entries. */
#ifndef CKFS_ENTRY_PRIVATE_H
#define CKFS_ENTRY_PRIVATE_H

#include "decode.h"
#include "decoded.h"
#include "lately.h"
#include "learnt.h"
#include "renderings.h"

#include "ckfs/cleanup.h"
#include "ckfs/deadlines.h"
#include "ckfs/entry.h"
#include "ckfs/spool.h"
#include "ckfs/table.h"
#include "ckfs/work.h"

#include <pthread.h>
#include <stdatomic.h>

struct entries {
	const struct options *options;
	struct backend *backend;
	struct known_keys *known;
	struct stats *stats;
	const struct keyring *keyring;
	bool opens_bare;            /* what has no frame may be sealed, under any key */
	struct learnt *learnt;
	struct decoded *decoded;
	struct work_pool *decoders; /* one thread a core */
	struct work_pool *fetchers; /* threads that wait for a remote backend: none starts for a local one */
	struct lately lately;       /* of a backend that is metered */
	struct spool spool;
	struct deadlines recent;    /* entries that a lookup found a moment ago, each with a reference */
	atomic_bool stopping;
	atomic_bool lists_known;    /* nobody can list the backend: what is known is listed */
	atomic_uint_least64_t asks; /* for expiries, counted as they begin */
	pthread_mutex_t lock;
	struct table held; /* protected by lock: shared entries */
};

struct entry {
	struct entries *entries;
	/* immutable */
	struct key key;
	struct entry_id id;
	bool shared; /* in entries->held */
	bool listed; /* it is of a listing: nothing is made of it that only who opens it needs */
	bool judged; /* it is not stored yet: nothing is remembered of it, nor kept */
	struct stored stored;

	struct table_node node; /* protected by entries->lock */
	unsigned refs;          /* protected by entries->lock */
	bool dropped;           /* protected by entries->lock: who comes from now on starts afresh */
	int64_t expires;        /* protected by entries->lock: as the latest ask has told */
	uint64_t expires_ask;   /* protected by entries->lock: its number */
	bool stale;             /* protected by entries->lock: as the latest find has told */

	struct deadline recent; /* protected by entries->recent.lock */

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
	bool frame_unread; /* more of the value is needed for it, or more time */
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
	struct {
		struct rendered rendered; /* HAVE_RENDERED() */
		struct slice content;     /* HAVE_RENDERING() */
	} renderings[RENDERING_COUNT];
};

/* Parts of an entry. They come in any order that makes sense: what was learnt before is there without its content. */
enum part {
	HAVE_PAYLOAD = 1,
	HAVE_DOCUMENT = 2,
	HAVE_VERDICT = 4,
	HAVE_BODY = 8,
	HAVE_WHOLE = 16,       /* the stored value: nothing more has to be fetched */
	HAVE_RENDERINGS = 32,  /* from here on two for each rendering */
};

_Static_assert(5 + 2 * RENDERING_COUNT <= 32, "each part has a bit");

/* What rendering finds out is known. */
#define HAVE_RENDERED(rendering) ((unsigned)HAVE_RENDERINGS << 2 * (rendering))
/* The rendering is at hand. */
#define HAVE_RENDERING(rendering) (HAVE_RENDERED(rendering) << 1)

/* Of a level from LEVEL_RENDERINGS on: which rendering it asks for. */
static inline enum rendering rendering_of(enum level level)
{
	return (enum rendering)((level - LEVEL_RENDERINGS) / 2);
}

/* entries.c: under what an entry is filed. */
struct entry_id entry_id_of_key(const struct entries *entries, const struct key *key, const struct version *version);

/* The tenant of seals without a frame that are no interop values. */
const char *entries_bare_tenant(const struct entries *entries);

/* entries_find.c: what the backend finds. 0, errors as of backend_find(). */
int entries_find_stored(struct entries *entries, const struct key *key, bool whole, const atomic_bool *cancel, struct stored *ret);

/* entry.c. Takes what key and stored hold. 0, -ENOMEM. */
int entry_new(struct entries *entries, struct key *key, struct stored *stored, struct entry **ret);

/* Numbers an ask for an expiry, before it is asked. */
uint64_t entries_next_ask(struct entries *entries);

/* Answers may come in another order than they were asked for: who prints what it was told must not print an older one. */
void entry_note_expiry(struct entry *entry, uint64_t ask, int64_t expires);

/* The same with all that is told of a version when it is found once more. */
void entry_note_found(struct entry *entry, uint64_t ask, const struct stored *stored);

/* entry_state.c: whether a level is reached with these parts. */
bool entry_is_at(const struct entry *entry, unsigned have, enum level level);

/* Whether a level asks for a rendering that is made of this document. It was found. */
bool entry_is_rendered(const struct entry *entry, enum level level);

/* Whether there is a document, and nothing is wrong with it, as far as these parts tell. */
bool entry_is_sound(const struct entry *entry, unsigned have);

/* Whether checksums are compared. What is about to be stored is checked in any case. */
bool entry_verifies(const struct entry *entry);

/* Whether the document must be checked before it is served. */
bool entry_wants_check(const struct entry *entry);

#endif
