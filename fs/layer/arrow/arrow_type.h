/* The type of a field of an Arrow schema, as text. */
#ifndef CKFS_ARROW_TYPE_H
#define CKFS_ARROW_TYPE_H

#include "flat.h"

#include "ckfs/buf.h"

/* Members of the table that a field is. */
enum { FIELD_NAME, FIELD_NULLABLE, FIELD_TYPE_KIND, FIELD_TYPE, FIELD_DICTIONARY, FIELD_CHILDREN, FIELD_METADATA };

/* A longer type is cut. */
#define ARROW_TYPE_MAX 4096

/* Writes the type as pyarrow prints it. It is `bad` where a nested type lacks what is nested. */
void arrow_type_write(const struct flat_table *field, struct buf *buf);

#endif
