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
#include "ckfs/keyring.h"
#include "ckfs/frame.h"
#include "ckfs/key.h"
#include "ckfs/known_keys.h"
#include "ckfs/options.h"
#include "ckfs/stats.h"

#include <stdbool.h>

/* What can be made of a document. A new one is a row in fs/entry/renderings.c. */
enum rendering {
	RENDERING_JSON,    /* its JSON text. A document that is stored as JSON is its own */
	RENDERING_COLUMNS, /* of a dataframe or a series: what msgpack_describe_columns() says, in memory; empty: nothing */
	RENDERING_COUNT,
};

/*
 * How deep an entry is to be peeled. Each level includes those before it, as far as they apply, but for renderings, which do not include each
 * other. A level is also reached when it is known that there is nothing to be had there, and why.
 */
enum level {
	LEVEL_STORED,     /* the stored value was found, and is as large as it says */
	LEVEL_WHOLE,      /* all of it is at hand */
	LEVEL_PAYLOAD,    /* the frame was read, a legacy one decoded: the payload was found */
	LEVEL_PAYLOAD_WHOLE, /* … and all of it is at hand */
	LEVEL_DOCUMENT,   /* the document was found, by its head; of a sealed one, its kind and which key fits */
	LEVEL_SIZED,      /* its size is known */
	LEVEL_CHECKED,    /* its checksum or tag was compared */
	LEVEL_BODY,       /* its bytes are at hand */
	LEVEL_RENDERINGS, /* from here on two for each rendering: */
};
#define LEVEL_RENDERING_SIZED(rendering) ((enum level)(LEVEL_RENDERINGS + 2 * (rendering)))  /* its size is known */
#define LEVEL_RENDERING(rendering) ((enum level)(LEVEL_RENDERINGS + 2 * (rendering) + 1)) /* it is at hand */

enum checksum { CHECKSUM_NONE, CHECKSUM_UNCHECKED, CHECKSUM_OK, CHECKSUM_MISMATCH };

struct entry;
struct entries;

/* What entries are made of. All of it is borrowed and must outlive them. */
struct entries_parts {
	const struct options *options;
	struct backend *backend;
	struct known_keys *known;
	struct stats *stats;
	const struct keyring *keyring; /* NULL: no key is configured */
};

/* 0, -ENOMEM. */
int entries_new(const struct entries_parts *parts, struct entries **ret);

/* Ends the work under way (who waits for it gets -EINTR). */
void entries_stop(struct entries *entries);
void entries_free(struct entries *entries);

struct spool *entries_spool(struct entries *entries);
struct backend *entries_backend(const struct entries *entries);
const struct options *entries_options(const struct entries *entries);

/* Bytes of decoded content in memory now. */
uint64_t entries_decoded_bytes(const struct entries *entries);

/* Lets go of all that is only kept, and forgets what was learnt. */
void entries_drop(struct entries *entries);

/*
 * The newest version of an entry, from the backend; with all of its value, if `whole`. A key known by its hash gets its text if that is known.
 * `cancel`: as of backend_find(). 0 and a reference; -ENOENT; backend errors; -EIO, -ENOMEM.
 */
int entries_find(struct entries *entries, const struct key *key, bool whole, const atomic_bool *cancel, struct entry **ret);

/* Whether what is stored under a key is told by the key's text: known by its hash alone it is something else. */
bool entries_go_by_text(const struct entries *entries, const struct key *key);

/*
 * A listing of the cache: what the backend lists; or, where nobody can list it, the keys that are known (known_keys.h), but for those that turn out
 * not to be there. What is known is listed without a question as long as nobody wants the values. All as of the listing of a backend (backend.h);
 * -EOPNOTSUPP: the store refuses to be listed, and nothing is known.
 */
struct entries_cursor;
int entries_list(struct entries *entries, struct entries_cursor **ret);
int entries_next(struct entries_cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret);
void entries_list_end(struct entries_cursor *cursor);

/* Whether it lists what is known, which may not be all there is. */
bool entries_list_is_of_known(const struct entries_cursor *cursor);

/* The key of what a listing gave, with its text where that is known, or the store has it. 0, -ENOMEM. */
int entries_listed_key(struct entries *entries, const struct listed *listed, struct key *ret);
void listed_done(struct listed *listed);

/* The entry of one version if somebody holds it just now, else NULL. A reference. */
struct entry *entries_held(struct entries *entries, const struct key_hash *hash, bool by_text, const struct version *version);

/*
 * Where each question costs (backend_ops.metered): the entry that a key was found to have less than `listed_ttl` ago, if somebody holds it. It need not be the newest version any more,
 * so it is good for a lookup, and not for an open. NULL: the backend has to be asked. A reference.
 */
struct entry *entries_found_lately(struct entries *entries, const struct key_hash *key);

/* What a key stores was changed, or (`is_gone`) removed: who looks it up from now on is told of that. */
void entries_changed(struct entries *entries, const struct key_hash *key, bool is_gone);

/* The same as entries_held(), also one from before entries_drop(): it is open still, and what it tells is all there is to know of a version that is no more. */
struct entry *entries_still_held(struct entries *entries, const struct key_hash *hash, bool by_text, const struct version *version);

/*
 * An entry of a listing, shared with nobody. No more of it is made than tells what it is: neither a legacy frame's payload, nor its document. Takes
 * what `listed` holds.
 */
int entries_listed(struct entries *entries, struct listed *listed, struct entry **ret);

/*
 * Whether a value that is to be stored under a key is one that the SDK reads: a frame, a bare envelope, or one whole document under an interop key,
 * whose checksum holds. What is sealed is taken as it is, and so is a format that this build does not know. 0; -EINVAL it is not, -EFBIG it is over
 * a limit of the SDK, both with static text in *ret_reason; -EINTR soon after *cancel became true; -EIO, -ENOMEM, -ENOSPC…
 */
int entries_judge(struct entries *entries, const struct key *key, const struct slice *value, const atomic_bool *cancel, const char **ret_reason);

/*
 * Stores a value, whatever it is. As of backend_put(), with static text in *ret_reason where the errno alone does not tell.
 */
int entries_put(struct entries *entries, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel,
	const char **ret_reason);

/* Removes an entry that was found just now. As of backend_remove(). */
int entries_remove(struct entry *entry, const atomic_bool *cancel);

struct entry *entry_ref(struct entry *entry);
void entry_unref(struct entry *entry);

static inline void cleanup_entry_(struct entry **entry)
{
	entry_unref(*entry);
}

#define cleanup_entry cleanup_with(cleanup_entry_)

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
 * For an entry of a listing: peels on this thread as far as `level`, as long as that takes a few small reads, and no other thread peels it.
 * Whether it was reached.
 */
bool entry_peel_quick(struct entry *entry, enum level level);

/*
 * For who waits on a thread of its own: peels to a level, whatever that takes, which is on other threads where it takes long. 0;
 * -EINTR soon after *cancel became true, it may be peeled still; -EIO, -ENOMEM, -ENOSPC…
 */
int entry_peel_waiting(struct entry *entry, enum level level, const atomic_bool *cancel);

/* Whether a level was reached. What belongs to it may be read without a lock from then on. */
bool entry_reached(struct entry *entry, enum level level);

/* True the first time that this error is met on this version: it is to be logged then. */
bool entry_first_error(struct entry *entry, int error);

/*
 * When it expires: unix seconds, 0 never, EXPIRES_UNKNOWN. A TTL may be rewritten at any time: this is what the latest find of this version, or
 * entry_ask_expires(), was told. That one asks the backend, and may wait. Of a version that is no more it stays what it was. 0, errors as of
 * backend_expires().
 */
int64_t entry_expires(struct entry *entry);
int entry_ask_expires(struct entry *entry);

/* Whether the store has said, when it was found last, that it should have a newer version. */
bool entry_is_stale(struct entry *entry);

/* LEVEL_STORED: what it is. */
const struct key *entry_key(const struct entry *entry);
bool entry_goes_by_text(const struct entry *entry);
const struct stored *entry_stored(const struct entry *entry);
struct backend *entry_backend(const struct entry *entry);

/* LEVEL_PAYLOAD: the frame; NULL when it is malformed. */
const struct frame *entry_frame(const struct entry *entry);

/* LEVEL_PAYLOAD: the payload. Borrowed, empty when the frame is malformed. */
const struct slice *entry_payload(const struct entry *entry);

/* LEVEL_DOCUMENT: the document; opaque when the frame is malformed. */
const struct document *entry_document(const struct entry *entry);

/* LEVEL_SIZED, for an entry without a fault: bytes of the document; of an array, those of its .npy file. 0. */
int entry_document_size(struct entry *entry, uint64_t *ret);

/* LEVEL_BODY, for an entry without a fault: the document. Borrowed. */
const struct slice *entry_body(const struct entry *entry);

/*
 * LEVEL_DOCUMENT: the document, where it can be had without a check, decrypting or decompressing: one that is stored plain, checked or not, or one that
 * is kept. Of a remote value not all of it need be at hand (-ENODATA). False: it cannot. A reference.
 */
bool entry_body_at_hand(struct entry *entry, struct slice *ret);

/* The same for an array: where it lies in the body, and what it is. */
const struct ndarray *entry_array(const struct entry *entry);

/* LEVEL_RENDERING_SIZED, for an entry without a fault that has this rendering: its bytes. LEVEL_RENDERING: the rendering. Borrowed. */
uint64_t entry_rendering_size(struct entry *entry, enum rendering rendering);
const struct slice *entry_rendering(const struct entry *entry, enum rendering rendering);

/* LEVEL_DOCUMENT, more as it is known: ENVELOPE_UNKNOWN before. */
enum envelope entry_envelope(struct entry *entry);
enum checksum entry_checksum(struct entry *entry);

/* Of a ByteStorage envelope: bytes of the document as it is stored, and as it is. False when that is not known. */
bool entry_compression(struct entry *entry, uint64_t *ret_compressed, uint64_t *ret_original);

/* What is known of an entry's seal. */
struct seal_state {
	bool sealed;      /* it is; of an interop value that is known only once it was opened */
	bool verified;    /* its tag was compared, and matches */
	bool has_keyring; /* keys are configured: what claims to be plain is not trusted */
	bool unfit;       /* no key fits by fingerprint: the one try may still open it */
	int key;          /* number of the key that opens it, or that fits; -1: none is known */
	const char *bare_tenant; /* of one without a frame that was opened for the tenant of the configuration; NULL: of no such one */
};

/* LEVEL_DOCUMENT, more as it is known. */
struct seal_state entry_seal(struct entry *entry);

/*
 * What is wrong with the entry, as far as it was peeled and no deeper than `level` matters: 0; -errno and static text.
 */
int entry_fault(struct entry *entry, enum level level, const char **ret_reason);

#endif
