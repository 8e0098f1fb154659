/*
 * The names that a listing has given, so that it gives each once. Fingerprints of 64 bits: 11 to 22 bytes a name.
 */
#ifndef CKFS_SEEN_H
#define CKFS_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seen {
	size_t count;
	uint64_t *slots; /* 0: free */
	size_t slot_count; /* a power of two */
};

void seen_done(struct seen *seen);
bool seen_has(const struct seen *seen, uint64_t fingerprint);

/* Adds one that is not there. 0, -ENOMEM. */
int seen_add(struct seen *seen, uint64_t fingerprint);

#endif
