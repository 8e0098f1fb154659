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
#include "ckfs/learnt.h"
#include "ckfs/options.h"
#include "ckfs/stats.h"

#include <stdbool.h>

/*
 * How deep an entry is to be peeled. Each level includes those before it, as far as they apply: a level is
 * also reached when it is known that there is nothing to be had there, and why.
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
	LEVEL_JSON_SIZED, /* the size of its JSON is known */
	LEVEL_JSON,       /* its JSON is at hand */
	LEVEL_SUMMARY,    /* what meta/ tells is at hand: the document where it shows columns of it */
};

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

/* What is remembered of versions, for whoever logs their errors. */
struct learnt *entries_learnt(struct entries *entries);
const struct spool *entries_spool(const struct entries *entries);

/* Bytes of decoded content in memory now. */
uint64_t entries_decoded_bytes(const struct entries *entries);

/* Lets go of all that is only kept, and forgets what was learnt. */
void entries_drop(struct entries *entries);

/*
 * The newest version of an entry, from the backend; with all of its value, if `whole`. A key known by its hash gets its text if that is known.
 * `cancel`: as of backend_find(). 0 and a reference; -ENOENT; backend errors; -EIO, -ENOMEM.
 */
int entries_find(struct entries *entries, const struct key *key, bool whole, const atomic_bool *cancel, struct entry **ret);

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
 * Whether it was reached.
 */
bool entry_peel_quick(struct entry *entry, enum level level);

/*
 * For an entry of a listing: peels on this thread, whatever it takes. 0; -EIO, -ENOMEM, -ENOSPC…; -ENODATA more of the value would have
 * to be fetched, if that is not to be done.
 */
int entry_peel_now(struct entry *entry, enum level level, bool fetch);

/*
 * For an entry of a listing of which more would have to be fetched (entry_peel_now said -ENODATA): goes by the kind of document
 * that the frame names, with no size. 0; -ENODATA the frame is not known either.
 */
int entry_assume_document(struct entry *entry);

/* Whether a level was reached. What belongs to it may be read without a lock from then on. */
bool entry_reached(struct entry *entry, enum level level);

/* What was learnt of these bytes is filed under this: the same ones mean something else under an interop key. */
struct version entry_record(const struct entry *entry);

/*
 * When it expires: unix seconds, 0 never. A TTL may be rewritten at any time: this is what the latest find of this version, or
 * entry_ask_expires(), was told. That one asks the backend, and may wait. Of a version that is no more it stays what it was. 0, errors as of
 * backend_expires().
 */
int64_t entry_expires(struct entry *entry);
int entry_ask_expires(struct entry *entry);

/* LEVEL_STORED: what it is. */
const struct key *entry_key(const struct entry *entry);
bool entry_is_interop(const struct entry *entry);
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

/* The same for an array: where it lies in the body, and what it is. */
const struct ndarray *entry_array(const struct entry *entry);

/* LEVEL_JSON_SIZED, for a MessagePack document without a fault: bytes of its JSON. LEVEL_JSON: the JSON. Borrowed. */
uint64_t entry_json_size(const struct entry *entry);
const struct slice *entry_json(const struct entry *entry);

/* LEVEL_DOCUMENT, more as it is known: ENVELOPE_UNKNOWN before. */
enum envelope entry_envelope(struct entry *entry);
enum checksum entry_checksum(struct entry *entry);

/* Of a ByteStorage envelope: bytes of the document as it is stored, and as it is. False when that is not known. */
bool entry_compression(struct entry *entry, uint64_t *ret_compressed, uint64_t *ret_original);

/* LEVEL_SUMMARY: what msgpack_describe_columns() says, in memory; empty: nothing. */
const struct slice *entry_columns(const struct entry *entry);

/* What is known of an entry's seal. */
struct seal_state {
	bool sealed;      /* it is; of an interop value that is known only once it was opened */
	bool verified;    /* its tag was compared, and matches */
	bool has_keyring; /* keys are configured: what claims to be plain is not trusted */
	bool unfit;       /* no key fits by fingerprint: the one try may still open it */
	int key;          /* number of the key that opens it, or that fits; -1: none is known */
};

/* LEVEL_DOCUMENT, more as it is known. */
struct seal_state entry_seal(struct entry *entry);

/*
 * What is wrong with the entry, as far as it was peeled and no deeper than `level` matters: 0; -errno and static text.
 */
int entry_fault(struct entry *entry, enum level level, const char **ret_reason);

#endif
