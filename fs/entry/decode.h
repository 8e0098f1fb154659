/*
 * Decoding: from a payload to its document, decrypted, decompressed and checked. What is made of a document is in renderings.h.
 * These run off the request threads. Made content goes to the spool.
 */
#ifndef CKFS_DECODE_H
#define CKFS_DECODE_H

#include "ckfs/document.h"
#include "ckfs/keyring.h"
#include "ckfs/spool.h"

/* Why what needs more than spool_secret_max() is EFBIG. */
#define DECODE_TOO_SECRET "sealed, and larger than the memory that cache_size= allows: decrypted values are never written to disk"

/* What decoding found out. Worth remembering when the content is not kept. */
struct verdict {
	int fault;          /* 0; -EBADMSG, -EUCLEAN, -EFBIG, -ENOKEY, -EOPNOTSUPP */
	const char *reason; /* of the fault, static text */
	enum envelope envelope;
	bool compared;      /* a checksum was */
	uint64_t size;      /* of the document; of an array, that of its .npy file */
	uint64_t text;      /* of MessagePack: characters that its JSON has at least */
	uint32_t compressed; /* BYTESTORAGE: bytes of the document as it is stored */
	int key;            /* number of the key that opened the seal; -1: none did */
};

struct decoder {
	struct spool *spool;
	const struct keyring *keyring; /* NULL: no key is configured */
	bool verify;                   /* compare checksums; tags are always compared */
	const atomic_bool *cancel;
};

/* A sealed payload, and what may open it. */
struct sealed {
	const struct frame *frame;
	const struct seal *seals; /* what it may be bound to: one, or (`key` is -1) each in turn with each key */
	unsigned seal_count;
	int key;        /* number of the one key to be tried; -1: no frame tells which, nor that it is sealed. What none opens may be plain */
	bool fits;      /* the key was chosen by its fingerprint: a tag that does not match means an altered entry */
};

/*
 * Checks and decodes a document that was located. 0, the verdict and, when that is no fault, where the document lies; -EINTR when
 * *cancel became true; -EIO, -ENOMEM, -ENOSPC…
 */
int decode_document(const struct decoder *decoder, const struct document *document, const struct slice *payload,
	struct verdict *ret_verdict, struct slice *ret_body);

/* The same for a sealed payload, which is opened first. */
int decode_sealed(const struct decoder *decoder, const struct sealed *sealed, const struct slice *payload,
	struct verdict *ret_verdict, struct slice *ret_body);

/* Hands the bytes of a slice to `use`, in memory: where they lie, or as a copy for as long as that takes. */
int decode_with_bytes(const struct decoder *decoder, const struct slice *slice, int (*use)(void *arg, const uint8_t *bytes, size_t n),
	void *arg);

#endif
