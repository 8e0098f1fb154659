/*
 * Captures a frame's members from the events of its JSON: the serializer's name and
 * the metadata. Shared by the v3 header and the legacy object, which name them apart.
 */
#ifndef CKFS_FRAME_META_H
#define CKFS_FRAME_META_H

#include "ckfs/frame.h"
#include "ckfs/json_scan.h"

/*
 * Levels of a frame's JSON. Python up to 3.11 gives up where json.loads() and its callers come to 1000: so much is left below unwrap(), even if a
 * program calls that itself. Where they are called from deeper down there is less, and from 3.12 on more.
 */
#define FRAME_LEVELS_V3 993u
#define FRAME_LEVELS_LEGACY 994u

/* Nothing is known. */
#define FRAME_META_UNKNOWN ((struct frame_meta){.compressed = UNKNOWN, .encrypted = UNKNOWN})

/* A member's name; those longer than any that matters are cut and only their length tells. */
struct frame_name {
	char text[32];
	size_t length;
};

struct frame_capture {
	const char *serializer_name; /* "s" or "serializer" */
	const char *metadata_name;   /* "m" or "metadata" */
	struct frame_meta meta;      /* owned until frame_capture_take() */
	bool has_object;             /* the outermost value is an object */
	bool in_metadata;            /* the value being read is the metadata's object */
	bool in_name;
	struct frame_name names[2];  /* of the member being read: of the outermost object, of the metadata */
	char value[FRAME_STRING_MAX];
	size_t value_length; /* what does not fit is only counted */
	unsigned faults;     /* one bit for each member that cannot be told */
};

void frame_capture_init(struct frame_capture *capture, const char *serializer_name, const char *metadata_name);

/* The scan's on_event; `capture` is a struct frame_capture. 0 or -ENOMEM. */
int frame_capture_event(void *capture, enum json_event event, unsigned level, const uint8_t *bytes, size_t n);

/* Is this the name of the outermost object's member that is being read? */
bool frame_capture_at(const struct frame_capture *capture, const char *name);

/*
 * Hands over what was captured once the JSON was read to its end. False, with a
 * static text in *ret_reason (may be NULL), when it is no object or names no serializer.
 */
bool frame_capture_take(struct frame_capture *capture, struct frame_meta *ret, const char **ret_reason);

/* Frees what was not taken. */
void frame_capture_done(struct frame_capture *capture);

void frame_meta_done(struct frame_meta *meta);

#endif
