/*
 * An entry: one immutable version of what a key stores, and what peeling it has learnt.
 *
 * Entries are shared: whoever asks for the same version gets the same entry, and what takes
 * long (a checksum over gigabytes) is done once for all who wait. meta/, attributes, listings
 * and errors all read the one record below.
 */
#ifndef CKFS_ENTRY_H
#define CKFS_ENTRY_H

#include "ckfs/backend.h"
#include "ckfs/document.h"
#include "ckfs/frame.h"
#include "ckfs/key.h"
#include "ckfs/known_keys.h"
#include "ckfs/learnt.h"
#include "ckfs/options.h"
#include "ckfs/stats.h"

#include <stdbool.h>

/* How deep an entry has been peeled. Each level includes those before it. */
enum level {
	LEVEL_STORED,   /* the stored value is at hand, and a v3 frame's header was read */
	LEVEL_PAYLOAD,  /* a legacy frame was decoded: the payload is at hand */
	LEVEL_DOCUMENT, /* the document was found, by its head */
	LEVEL_CHECKED,  /* its checksum was compared */
};

enum checksum { CHECKSUM_NONE, CHECKSUM_UNCHECKED, CHECKSUM_OK, CHECKSUM_MISMATCH };

struct entry;
struct entries;

/* 0, -ENOMEM. What is passed in is borrowed and must outlive it. */
int entries_new(const struct options *options, struct backend *backend, struct known_keys *known, struct stats *stats,
	struct entries **ret);

/* Ends the work under way (who waits for it gets -EINTR). */
void entries_stop(struct entries *entries);
void entries_free(struct entries *entries);

/* What is remembered of versions, for whoever logs their errors. */
struct learnt *entries_learnt(struct entries *entries);

/* Lets go of all that is only kept, and forgets what was learnt. */
void entries_drop(struct entries *entries);

/*
 * The newest version of an entry, from the backend. A key known by its hash gets its text if that is known.
 * 0 and a reference; -ENOENT; backend errors; -EIO, -ENOMEM.
 */
int entries_find(struct entries *entries, const struct key *key, struct entry **ret);

/* The entry of one version if somebody holds it just now, else NULL. A reference. */
struct entry *entries_held(struct entries *entries, const struct key_hash *hash, bool interop, const struct version *version);

/* An entry of a listing, shared with nobody. Takes what `listed` holds, also on failure. */
int entries_listed(struct entries *entries, struct listed *listed, struct entry **ret);

struct entry *entry_ref(struct entry *entry);
void entry_unref(struct entry *entry);

/*
 * Keeps an entry open for a moment after a lookup has found it: it can still be opened then,
 * even if it was overwritten in between.
 */
void entry_keep(struct entry *entry);

/* Somebody who waits for a level. */
struct entry_wait {
	/* r: 0, the level was reached (faults are in the record); -EINTR, -EIO, -ENOMEM, -ENOSPC… not reached. */
	void (*done)(struct entry_wait *wait, int r);
	enum level level;
	bool cancelled; /* before it began to wait */
	struct entry_wait *next;
};

/*
 * Peels an entry to a level. Calls wait->done once, on this thread when the level is there or costs
 * little, else later on another. Until then the caller keeps its reference.
 */
void entry_peel(struct entry *entry, enum level level, struct entry_wait *wait);

/*
 * Takes a waiter out. True: done() has not been and will not be called. The work stops when nobody waits for it.
 * One that does not wait yet is answered with -EINTR as soon as it does.
 */
bool entry_peel_cancel(struct entry *entry, struct entry_wait *wait);

/*
 * For an entry of a listing: peels on this thread as far as `level`, as long as that takes a few small reads.
 * Returns the level reached.
 */
enum level entry_peel_quick(struct entry *entry, enum level level);

/* For an entry of a listing: peels on this thread, whatever it takes. 0; -EIO, -ENOMEM, -ENOSPC… */
int entry_peel_now(struct entry *entry, enum level level);

/* The level that was reached. What belongs to it may be read without a lock from then on. */
enum level entry_level(struct entry *entry);

/* LEVEL_STORED: what it is. */
const struct key *entry_key(const struct entry *entry);
bool entry_is_interop(const struct entry *entry);
const struct stored *entry_stored(const struct entry *entry);
struct backend *entry_backend(const struct entry *entry);
const struct options *entry_options(const struct entry *entry);

/* LEVEL_PAYLOAD: the frame; NULL when it is malformed. */
const struct frame *entry_frame(const struct entry *entry);

/* LEVEL_PAYLOAD: the payload. Borrowed, empty when the frame is malformed. */
const struct slice *entry_payload(const struct entry *entry);

/* LEVEL_DOCUMENT: the document; opaque when the frame is malformed. */
const struct document *entry_document(const struct entry *entry);

/* LEVEL_CHECKED, for a document that needs its check: where it lies. A reference. 0, -ERANGE. */
int entry_checked_body(const struct entry *entry, struct slice *ret);

/* LEVEL_DOCUMENT. */
enum checksum entry_checksum(struct entry *entry);

/* What is wrong with the entry, as far as `level` can tell (which must have been reached): 0; -errno and static text. */
int entry_fault(const struct entry *entry, enum level level, const char **ret_reason);

#endif
