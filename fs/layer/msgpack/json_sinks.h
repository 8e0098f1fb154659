/*
 * Two sinks that msgpack_to_json() puts before the one it was given.
 *
 *   meter    counts what is written, ends at JSON_TEXT_MAX, and looks at *cancel every 1 MiB
 *   quoter   escapes what is written, to stand in a JSON string, as often as that string stands in others; goes to a meter
 *
 * Each is a struct sink first, so that what writes to a sink writes to them.
 */
#ifndef CKFS_JSON_SINKS_H
#define CKFS_JSON_SINKS_H

#include "fs/layer/json/json_write.h"

#include <stdatomic.h>
#include <stdbool.h>

struct meter {
	struct sink sink; /* a part of the room of `to` */
	struct sink *to;
	const atomic_bool *cancel; /* may be NULL */
	uint64_t written; /* what `to` knows of */
	bool too_long;    /* over JSON_TEXT_MAX: the reason of an -EFBIG that is not the sink's */
};

void meter_init(struct meter *meter, struct sink *to, const atomic_bool *cancel);

/* Tells `to` what was written. 0; -EFBIG; -EINTR. */
int meter_flush(struct meter *meter);

struct quoter {
	struct sink sink; /* the buffer */
	struct meter *to;
	unsigned depth; /* strings that are open around what is written; 0: the quoter is not in use */
	uint8_t buffer[JSON_WRITE_ROOM];
};

void quoter_init(struct quoter *quoter, struct meter *to);

/* Begins and ends a string, of which the text so far is a part. 0; -EFBIG when no text that deep fits; what the meter returns. */
int quoter_open(struct quoter *quoter);
int quoter_close(struct quoter *quoter);

#endif
