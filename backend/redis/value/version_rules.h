/*
 * What names a version of a value. Rules only: they ask no server, take no lock and read no clock. The caller brings what was seen of
 * a value and what is known of its key; the rules tell how the version is named, or what has to be read first.
 *
 * A version is named by one of:
 * - its content: the hash of all bytes;
 * - its change: size, hash of the head, and number of the last change, which a fence has proved to be the last;
 * - a number of its own, with size and hash of the head, where nothing else is known.
 * Values of up to REDIS_LISTED_HEAD bytes are always named by their content, so that a listing and a lookup agree.
 */
#ifndef CKFS_REDIS_VERSION_RULES_H
#define CKFS_REDIS_VERSION_RULES_H

#include "ckfs/backend.h"

#include <xxhash.h>

/* The head of a value is its first bytes, up to this many: what a listing reads. */
#define REDIS_LISTED_HEAD 512

/* No change has this number. */
#define VERSION_NO_CHANGE UINT64_MAX

/* A key that changes during as many looks is read whole. */
#define VERSION_LOOKS_MAX 3

/* The version that a key had when it was last seen, and by what another look tells that it is the same. */
struct known_version {
	struct version version;
	uint64_t change;         /* number of the last change; VERSION_NO_CHANGE: nobody would have heard of one */
	struct timespec written; /* when that version was written, as far as anybody told */
	uint64_t size;           /* bytes of the value; 0 without known content: nothing is known */
	XXH128_hash_t head;      /* version_head() */
	bool content_known;
	XXH128_hash_t content;   /* version_hash() of all bytes */
};

/* What one look at a key has seen. */
struct sighting {
	uint64_t seed;              /* of the hashes of this mount */
	const struct key_hash *key; /* borrowed */
	bool by_listing;            /* a listing looks: it never reads more than heads */
	bool asked_whole;           /* a lookup has asked for all bytes by one command */
	unsigned looks;             /* of one lookup, this one included */

	uint64_t size;         /* bytes of the value */
	bool torn;             /* size and head may be of two versions */
	XXH128_hash_t head;    /* version_head() */
	bool whole;            /* all bytes were read, by one command */
	XXH128_hash_t content; /* of a whole value */

	bool announced;          /* the server announces changes of this key from now on */
	uint64_t change;         /* number of the last one, before the look */
	struct timespec written; /* when the last one was */
	bool settled;            /* version_settle() */
	bool still_announced;    /* changes have been announced throughout: a record may rely on the number */
	bool listed;             /* a listing may have named this key by its head */
};

enum version_rule {
	VERSION_SAME,       /* the known one */
	VERSION_CLAIMED,    /* the known one, which this look is the first to read, if records_claim() agrees; else VERSION_BY_CONTENT */
	VERSION_BY_CONTENT,
	VERSION_BY_CHANGE,
	VERSION_BY_NUMBER,  /* it stays the version until another one is seen */
	VERSION_NAMELESS,   /* made up: too little was read to tell */
	VERSION_LOOK_AGAIN, /* not yet: something has changed during the look */
	VERSION_READ_WHOLE, /* not yet: only all bytes tell */
	VERSION_OTHER,      /* not the version that was fetched */
};

XXH128_hash_t version_hash(uint64_t seed, const void *bytes, size_t n);

/*
 * The head of a value: of its first bytes. Where nothing is announced, a larger value has its `last` REDIS_LISTED_HEAD bytes hashed as well
 * (else NULL), since what the SDK stores has a checksum in one of the two.
 */
XXH128_hash_t version_head(uint64_t seed, uint64_t size, const void *first, const void *last);

/* Whether a fence can help to name what a lookup has seen. */
bool version_needs_fence(const struct sighting *seen);

/* Notes what a fence has told. `fenced`: it was answered; `change`: number of the last change after it. */
void version_settle(struct sighting *seen, bool fenced, uint64_t change);

/* How to name what was seen. `known`: NULL: nothing. */
enum version_rule version_choose(const struct sighting *seen, const struct known_version *known);

/* Whether a rule needs a number of its own for version_name(). */
bool version_needs_number(enum version_rule rule);

/* Names what was seen by a rule, VERSION_SAME to VERSION_NAMELESS, and fills in what is known from now on. `number`: no other version has it. */
void version_name(const struct sighting *seen, enum version_rule rule, const struct known_version *known, uint64_t number,
	struct known_version *ret);

/* Whether a whole value that was fetched for `version` is that one: VERSION_SAME, VERSION_CLAIMED (else VERSION_OTHER), VERSION_OTHER. */
enum version_rule version_fetched(const struct sighting *seen, const struct known_version *known, const struct version *version);

/* Whether a version can have this content: it is the known one, and nobody has read another content of it. */
bool version_takes_content(const struct known_version *known, const struct version *version, XXH128_hash_t content);

/* Whether the known version is the newest one. `announced`, `change`: after a fence. */
bool version_is_current(const struct known_version *known, bool announced, uint64_t change);

#endif
