/*
 * The names that a listing has given, so that it gives each once. Fingerprints of 64 bits: 11 to 22 bytes a name.
 */
#ifndef CKFS_SEEN_H
#define CKFS_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each grows by itself: no more than one of them is there twice at a time. */
#define SEEN_PARTS 16

struct seen {
	size_t count;
	struct seen_part {
		size_t count;
		uint64_t *slots; /* 0: free */
		size_t slot_count; /* a power of two */
	} parts[SEEN_PARTS];
};

void seen_done(struct seen *seen);
bool seen_has(const struct seen *seen, uint64_t fingerprint);

/* Adds one that is not there. 0, -ENOMEM. */
int seen_add(struct seen *seen, uint64_t fingerprint);

#endif
