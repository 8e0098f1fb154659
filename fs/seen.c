#include "ckfs/seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static void fill_slots(struct seen *seen)
{
	for (size_t i = 0; i < seen->count; i++)
		seen->slots[slot_of(seen, seen->order[i])] = seen->order[i];
}

static int grow_order(struct seen *seen)
{
	size_t capacity = seen->order_capacity ? seen->order_capacity * 2 : SLOTS_MIN / 2;
	uint64_t *order = realloc(seen->order, capacity * sizeof *order);
	if (!order)
		return -ENOMEM;
	seen->order = order;
	seen->order_capacity = capacity;
	return 0;
}

static int grow_slots(struct seen *seen)
{
	size_t count = seen->slot_count ? seen->slot_count * 2 : SLOTS_MIN;
	uint64_t *slots = calloc(count, sizeof *slots);
	if (!slots)
		return -ENOMEM;
	free(seen->slots);
	seen->slots = slots;
	seen->slot_count = count;
	fill_slots(seen);
	return 0;
}

void seen_done(struct seen *seen)
{
	free(seen->order);
	free(seen->slots);
	*seen = (struct seen){0};
}

bool seen_has(const struct seen *seen, uint64_t fingerprint)
{
	return seen->count > 0 && seen->slots[slot_of(seen, of(fingerprint))] != 0;
}

int seen_add(struct seen *seen, uint64_t fingerprint)
{
	int r = seen->count == seen->order_capacity ? grow_order(seen) : 0;
	/* At most three quarters full. */
	if (r == 0 && (seen->count + 1) * 4 > seen->slot_count * 3)
		r = grow_slots(seen);
	if (r < 0)
		return r;
	seen->order[seen->count++] = of(fingerprint);
	seen->slots[slot_of(seen, of(fingerprint))] = of(fingerprint);
	return 0;
}

void seen_truncate(struct seen *seen, size_t count)
{
	if (count >= seen->count)
		return;
	seen->count = count;
	memset(seen->slots, 0, seen->slot_count * sizeof *seen->slots);
	fill_slots(seen);
}
