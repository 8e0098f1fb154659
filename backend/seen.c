#include "seen.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_MIN 256

/* 0 marks a free slot. */
static uint64_t of(uint64_t fingerprint)
{
	return fingerprint ? fingerprint : 1;
}

/* Where a fingerprint stands, or would stand. The set is never full. */
static size_t slot_of(const struct seen *seen, uint64_t fingerprint)
{
	size_t mask = seen->slot_count - 1, i = fingerprint & mask;
	while (seen->slots[i] && seen->slots[i] != fingerprint)
		i = (i + 1) & mask;
	return i;
}

static int grow(struct seen *seen)
{
	struct seen bigger = {.count = seen->count, .slot_count = seen->slot_count ? seen->slot_count * 2 : SLOTS_MIN};
	bigger.slots = calloc(bigger.slot_count, sizeof *bigger.slots);
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < seen->slot_count; i++)
		if (seen->slots[i])
			bigger.slots[slot_of(&bigger, seen->slots[i])] = seen->slots[i];
	free(seen->slots);
	*seen = bigger;
	return 0;
}

void seen_done(struct seen *seen)
{
	free(seen->slots);
	*seen = (struct seen){0};
}

bool seen_has(const struct seen *seen, uint64_t fingerprint)
{
	return seen->count > 0 && seen->slots[slot_of(seen, of(fingerprint))] != 0;
}

int seen_add(struct seen *seen, uint64_t fingerprint)
{
	/* At most three quarters full. */
	int r = (seen->count + 1) * 4 > seen->slot_count * 3 ? grow(seen) : 0;
	if (r < 0)
		return r;
	seen->slots[slot_of(seen, of(fingerprint))] = of(fingerprint);
	seen->count++;
	return 0;
}
