/*
 * What an Arrow IPC file tells of its table: its columns, rows, batches and compression.
 *
 *   "ARROW1" 00 00, messages: schema, dictionaries, batches
 *   footer          FlatBuffers: the schema, and where each batch lies
 *   i32 its bytes, "ARROW1"
 *
 * Only the footer and the head of each batch are read, whatever the table's size: bytes of columns are never looked at.
 */
#ifndef CKFS_ARROW_H
#define CKFS_ARROW_H

#include "ckfs/buf.h"
#include "ckfs/slice.h"

#define ARROW_MAGIC "ARROW1"

/* Columns that are described; of the others only the number is told. */
#define ARROW_COLUMNS_SHOWN 1000

/* Batches whose rows are counted: in a file with more, the number of rows is not told. */
#define ARROW_BATCHES_READ 4096

/*
 * Describes the table of a file, as JSON:
 *
 *   {"rows": number | null, "batches": number, "compression": "none" | "lz4" | "zstd" | "mixed" | null,
 *    "columns": [{"name": text, "type": text, "nullable": boolean, "extension": text}…], "columns_total": number}
 *
 * Types are as pyarrow prints them; "extension" is the name of an extension type, over the type that stores it, and is left out elsewhere, as "columns_total" is
 * where all are shown. Rows are null where a batch does not tell them, compression is where there is no batch. Names of over 4,096 bytes are null, and
 * longer types are cut ("..."). At most some 8 MiB are read, and 1 MiB written. Nothing is checked but what is read, so a file that is described may
 * still be one that no reader takes.
 *
 * 0; -EUCLEAN it is no such file, -EFBIG its footer is over 8 MiB, -ENODATA it is not all at hand, each with static text in *ret_reason and nothing
 * in `buf`; -EIO, -ENOMEM.
 */
int arrow_describe(const struct slice *file, struct buf *buf, const char **ret_reason);

#endif
