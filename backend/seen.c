#include "seen.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_MIN 16

/* 0 marks a free slot. */
static uint64_t of(uint64_t fingerprint)
{
	return fingerprint ? fingerprint : 1;
}

/* By the high bits: the low ones tell the slot. */
static size_t part_of(uint64_t fingerprint)
{
	return fingerprint / (UINT64_MAX / SEEN_PARTS + 1);
}

/* Where a fingerprint stands, or would stand. A part is never full. */
static size_t slot_of(const struct seen_part *part, uint64_t fingerprint)
{
	size_t mask = part->slot_count - 1, i = fingerprint & mask;
	while (part->slots[i] && part->slots[i] != fingerprint)
		i = (i + 1) & mask;
	return i;
}

static int grow(struct seen_part *part)
{
	struct seen_part bigger = {.count = part->count, .slot_count = part->slot_count ? part->slot_count * 2 : SLOTS_MIN};
	bigger.slots = calloc(bigger.slot_count, sizeof *bigger.slots);
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < part->slot_count; i++)
		if (part->slots[i])
			bigger.slots[slot_of(&bigger, part->slots[i])] = part->slots[i];
	free(part->slots);
	*part = bigger;
	return 0;
}

void seen_done(struct seen *seen)
{
	for (size_t i = 0; i < SEEN_PARTS; i++)
		free(seen->parts[i].slots);
	*seen = (struct seen){0};
}

bool seen_has(const struct seen *seen, uint64_t fingerprint)
{
	const struct seen_part *part = &seen->parts[part_of(of(fingerprint))];
	return part->count > 0 && part->slots[slot_of(part, of(fingerprint))] != 0;
}

int seen_add(struct seen *seen, uint64_t fingerprint)
{
	struct seen_part *part = &seen->parts[part_of(of(fingerprint))];
	/* At most three quarters full. */
	int r = (part->count + 1) * 4 > part->slot_count * 3 ? grow(part) : 0;
	if (r < 0)
		return r;
	part->slots[slot_of(part, of(fingerprint))] = of(fingerprint);
	part->count++;
	seen->count++;
	return 0;
}
