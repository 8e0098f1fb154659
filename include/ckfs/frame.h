/*
 * The frame: what SerializationWrapper puts around a payload (layouts: doc/FORMATS.md).
 *
 *   v3       "CK" | 0x03 | header length u32 BE | header (UTF-8 JSON, trailing spaces) | payload
 *   legacy   {"data": base64 payload, "serializer": name, "metadata": {...}}, white space around it
 *   none     anything else: the value is its own payload
 */
#ifndef CKFS_FRAME_H
#define CKFS_FRAME_H

#include "ckfs/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A v3 header longer than this is refused (EFBIG). */
#define FRAME_HEADER_MAX (16u << 20)

/* Reading one up to this long takes no time worth mentioning. */
#define FRAME_HEADER_QUICK (64u << 10)

/* A captured header string longer than this is left out and its member counts as of the wrong type. */
#define FRAME_STRING_MAX 4096u

enum frame_kind {
	FRAME_NONE,    /* a foreign value: the payload is the whole value */
	FRAME_INTEROP, /* the key says interop value: never looked at as a frame */
	FRAME_V3,
	FRAME_LEGACY,
};

enum tristate { UNKNOWN = -1, NO = 0, YES = 1 };

/* Header members. Strings are owned, NUL-terminated UTF-8, NULL when absent, null or not usable. */
struct frame_meta {
	char *serializer; /* never NULL in a v3 or legacy frame; "" when it is not usable */
	char *format;
	char *encoding;
	char *original_type;
	char *tenant_id;
	char *encryption_algorithm;
	char *key_fingerprint;
	enum tristate compressed;
	enum tristate encrypted;
	/* Static text: the first member that has a wrong type or holds a NUL (the payload can be had all the same); NULL: none. */
	const char *fault;
};

struct frame {
	enum frame_kind kind;
	struct frame_meta meta;
	/* v3: where the header's JSON lies in the value, and whether it is JSON for others too (no NaN, no half surrogate). */
	uint64_t header_offset, header_length;
	bool header_is_json;
	bool maybe_legacy; /* none: legacy_read() has to tell whether it is more */
	bool declared;     /* none, interop: the mount is told that documents of other SDKs have no frame. frame_read() says false */
	/* v3, none, interop: where the payload lies in the value. legacy: offset 0 and the decoded length. */
	uint64_t payload_offset, payload_length;
};

/* Whether there is none: what the payload is, its key, its structure or the mount tell. */
static inline bool frame_is_bare(const struct frame *frame)
{
	return frame->kind == FRAME_NONE || frame->kind == FRAME_INTEROP;
}

/*
 * Reads a value's frame, all but a legacy one: a value that begins with "{", or with more JSON white space than is
 * looked at, comes back as FRAME_NONE with maybe_legacy.
 *
 * 0; -EUCLEAN malformed, *ret_reason says why (static text); -EFBIG header too long (with reason); -ENODATA longer than `most`, or than what is
 * at hand of the value; -EINTR when *cancel (may be NULL) became true; -EIO; -ENOMEM.
 * `ret` is untouched on failure, else frame_done() frees what it holds.
 */
int frame_read(const struct slice *value, bool interop, uint32_t most, const atomic_bool *cancel, struct frame *ret, const char **ret_reason);

/* Where a legacy payload goes, piece by piece. */
struct legacy_sink {
	int (*write)(void *arg, const void *bytes, size_t n); /* 0 or -errno */
	int (*restart)(void *arg); /* a second "data" member replaces the first */
	void *arg;
};

/*
 * Reads a legacy frame in one pass over the value, in constant memory; its payload
 * goes to `sink` (NULL: only checked and counted). Base64 as Python's b64decode
 * reads it: characters outside the alphabet are skipped. A padding that completes its
 * group ends the data, as in Python up to 3.12; later ones go on behind it.
 *
 * 0 and FRAME_LEGACY; 0 and FRAME_NONE when it is no such object (what the sink got
 * is void); -EINTR when *cancel (may be NULL) became true; -EIO; -ENOMEM; the sink's error.
 */
int legacy_read(const struct slice *value, const struct legacy_sink *sink, const atomic_bool *cancel, struct frame *ret);

void frame_done(struct frame *frame);

#endif
