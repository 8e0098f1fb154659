/* What is known of an entry, each part by its name. */
#ifndef CKFS_ATTRIBUTES_H
#define CKFS_ATTRIBUTES_H

#include "ckfs/buf.h"
#include "ckfs/entry.h"

#include <stdbool.h>

/* Attributes have the numbers 0 to ATTRIBUTE_COUNT - 1. */
#define ATTRIBUTE_COUNT 14u

/* Its name, without "user.ckfs.". */
const char *attribute_name(unsigned number);

/* Its number; ATTRIBUTE_COUNT: there is none of that name. */
unsigned attribute_find(const char *name);

/* Whether it may be another one by now, though the version is the same. */
bool attribute_tells_expiry(unsigned number);

/* Whether an entry has those of a frame's header. From what was read of it before; false when that was too little to tell. */
bool attributes_have_header(struct entry *entry);

/* Appends its text, for an entry peeled to LEVEL_DOCUMENT; false when there is none. Out of memory: buf->failed. */
bool attribute_get(unsigned number, struct entry *entry, struct buf *buf);

#endif
