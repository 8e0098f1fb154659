/* Writers of what the layers read, by the layouts of doc/FORMATS.md. They share nothing with the readers. */
#ifndef CKFS_WRITERS_H
#define CKFS_WRITERS_H

#include "ckfs/buf.h"
#include "ckfs/keyring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The 8-byte prefix of n bytes. */
void write_prefix(struct buf *to, const void *document, size_t n);

enum envelope_form {
	FORM_BIN,      /* as writers do */
	FORM_INTEGERS, /* as they did before */
	FORM_MAP,
	FORM_ODD,      /* str data, a checksum as bin, bytes behind it */
	ENVELOPE_FORMS,
};

/* A ByteStorage envelope around n bytes; `format` has up to 31 bytes. */
void write_envelope(struct buf *to, const void *document, size_t n, enum envelope_form form, const char *format);

/* An array of element type `dtype`, as NUMPY_RAW, without its bytes. */
void write_numpy_head(struct buf *to, const char *dtype, const uint32_t *shape, unsigned ndim);

void write_base64(struct buf *to, const void *bytes, size_t n);

/* Fingerprint of the tenant's key, which is derived from a master key of 32 bytes: 32 hex digits. */
void write_fingerprint(const uint8_t master[static 32], const char *tenant, char ret[static 33]);

/* Seals n bytes: nonce, ciphertext, tag. The nonce is `number` and zeros. */
void write_seal(struct buf *to, const uint8_t master[static 32], const struct seal *seal, uint8_t number, const void *bytes, size_t n);

#endif
