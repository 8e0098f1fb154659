/* The parts of a URL: read one after the other, never copied until they are decoded. */
#ifndef CKFS_REMOTE_URL_H
#define CKFS_REMOTE_URL_H

#include "ckfs/buf.h"
#include "ckfs/error.h"

#include <stdbool.h>
#include <stddef.h>

/* A part of a URL, borrowed. */
struct part {
	const char *p;
	size_t n;
};

/* Takes what stands before the first of `ends` off a part; what is left begins with that character. */
struct part part_take_until(struct part *part, const char *ends);

/* Drops the first n bytes, which must be there. */
void part_skip(struct part *part, size_t n);

/* Whether a part is exactly this text. */
bool part_is(struct part part, const char *text);

/*
 * Decodes a part, as Python's unquote() does: a '%' that no two digits follow stands for itself. `plus`: a '+' is a blank. *ret is replaced: the
 * text that was there before is wiped and freed. 0; -EINVAL it has a NUL, -ENOMEM; with the error set.
 */
int part_decode(struct part part, bool plus, char **ret, struct error *error);

/* Appends text with all but unreserved characters as %XX, as Python's quote(text, safe="") does. */
void url_put_escaped(struct buf *to, const char *text, size_t n);

/* Wipes and frees a text. NULL is allowed. */
void text_wipe(char *text);

#endif
