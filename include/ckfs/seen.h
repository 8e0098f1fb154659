/*
 * The names that a listing has shown, so that it shows each once, in order, so that it can go back.
 * Fingerprints of 64 bits: some 30 bytes a name at most.
 */
#ifndef CKFS_SEEN_H
#define CKFS_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seen {
	uint64_t *order; /* fingerprints as they came */
	size_t count, order_capacity;
	uint64_t *slots; /* the same as a set; 0: free */
	size_t slot_count; /* a power of two */
};

void seen_done(struct seen *seen);
bool seen_has(const struct seen *seen, uint64_t fingerprint);

/* Adds one that is not there. 0, -ENOMEM. */
int seen_add(struct seen *seen, uint64_t fingerprint);

/* Forgets all but the first `count`. */
void seen_truncate(struct seen *seen, size_t count);

#endif
