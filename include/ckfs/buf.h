/* A growing byte buffer, and the one JSON text writer. */
#ifndef CKFS_BUF_H
#define CKFS_BUF_H

#include "ckfs/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *p; /* from malloc; the owner frees it, or takes it */
	size_t length;
	size_t capacity;
	bool failed; /* no memory: what follows is dropped, the end looks once */
};

void buf_done(struct buf *buf);
#define cleanup_buf cleanup_with(buf_done)

void buf_put(struct buf *buf, const void *bytes, size_t n);

/* n more bytes, which the caller writes. NULL: no memory. */
void *buf_extend(struct buf *buf, size_t n);

void buf_puts(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string of bytes that need not be UTF-8: what is not becomes U+FFFD. */
void buf_json_string(struct buf *buf, const void *bytes, size_t n);

/* `text` as a JSON string, or null. */
void buf_json_text(struct buf *buf, const char *text);

/* Bytes for one line of a log: control bytes and what is not UTF-8 as \xNN, at most `most` bytes, then "...". */
void buf_escaped(struct buf *buf, const void *bytes, size_t n, size_t most);

#endif
