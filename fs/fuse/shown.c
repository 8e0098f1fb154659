#include "shown.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Of a line whose entry is gone; the number of the next one is added. */
#define GONE (UINT64_C(1) << 63)

#define CAPACITY_MIN 512

static uint64_t fingerprint(const struct shown *shown, const struct key_hash *key)
{
	return XXH3_64bits_withSeed(key->bytes, sizeof key->bytes, shown->seed);
}

/* Makes room for `count` items of a size. Where they are then; NULL: no memory, they stay where they are. */
static void *grow(void *items, size_t size, size_t count, size_t *capacity)
{
	size_t wanted = *capacity ? *capacity : CAPACITY_MIN;
	if (count <= *capacity)
		return items;
	while (wanted < count)
		wanted *= 2;
	void *bigger = realloc(items, wanted * size);
	if (bigger)
		*capacity = wanted;
	return bigger;
}

/* --- lines with their names --- */

static void lines_done(struct shown_lines *lines)
{
	free(lines->places);
	free(lines->text);
	*lines = (struct shown_lines){0};
}

static int reserve(struct shown_lines *lines, size_t count)
{
	uint64_t *places = grow(lines->places, sizeof *places, count, &lines->capacity);
	if (!places)
		return -ENOMEM;
	lines->places = places;
	return 0;
}

static int add_text(struct shown_lines *lines, const char *name, uint64_t number, uint64_t *ret_place)
{
	size_t n = strlen(name) + 1;
	char *text = grow(lines->text, 1, lines->length + sizeof number + n, &lines->text_capacity);
	if (!text)
		return -ENOMEM;
	lines->text = text;
	char *to = text + lines->length;
	memcpy(to, &number, sizeof number);
	memcpy(to + sizeof number, name, n);
	*ret_place = lines->length;
	lines->length += sizeof number + n;
	return 0;
}

/* Lets go of the oldest n, which have their texts in front: they are as old. */
static void drop_oldest(struct shown_lines *lines, size_t n)
{
	const uint64_t from = n < lines->count ? lines->places[n] : lines->length;
	lines->count -= n;
	lines->first += n;
	lines->length -= from;
	memmove(lines->text, lines->text + from, lines->length);
	for (size_t i = 0; i < lines->count; i++)
		lines->places[i] = lines->places[i + n] - from;
}

/* --- what was shown --- */

void shown_init(struct shown *shown)
{
	*shown = (struct shown){0};
	randombytes_buf(&shown->seed, sizeof shown->seed);
}

void shown_done(struct shown *shown)
{
	free(shown->order);
	lines_done(&shown->lines);
	shown->order = NULL;
}

int shown_add(struct shown *shown, const struct key_hash *key, const char *name, uint64_t number)
{
	struct shown_lines *lines = &shown->lines;
	uint64_t place;
	uint64_t *order = shown->count < UINT32_MAX ? grow(shown->order, sizeof *order, shown->count + 1, &shown->capacity) : NULL;
	if (!order)
		return -ENOMEM;
	shown->order = order;
	int r = reserve(lines, lines->count + 1);
	if (r == 0)
		r = add_text(lines, name, number, &place);
	if (r < 0)
		return r;
	lines->places[lines->count++] = place;
	shown->order[shown->count++] = fingerprint(shown, key);
	return 0;
}

void shown_trim(struct shown *shown, size_t number)
{
	struct shown_lines *lines = &shown->lines;
	number = number < shown->count ? number : shown->count;
	size_t first = number > SHOWN_RECENT ? number - SHOWN_RECENT : 0;
	/* As many at a time that each is moved but once. */
	if (!shown->keeps_all && first > lines->first && first - lines->first >= lines->count / 2)
		drop_oldest(lines, first - lines->first);
}

bool shown_has(const struct shown *shown, size_t number)
{
	return number >= shown->lines.first;
}

size_t shown_from(const struct shown *shown, size_t number)
{
	const struct shown_lines *lines = &shown->lines;
	uint64_t place = number < shown->count ? lines->places[number - lines->first] : 0;
	return place & GONE ? (size_t)(place & ~GONE) : number;
}

const char *shown_line(const struct shown *shown, size_t number, uint64_t *ret_number)
{
	const struct shown_lines *lines = &shown->lines;
	uint64_t place = lines->places[number - lines->first];
	memcpy(ret_number, lines->text + place, sizeof *ret_number);
	return lines->text + place + sizeof *ret_number;
}

/* --- going back --- */

int recall_begin(struct shown *shown, struct recall *ret)
{
	struct recall recall = {.shown = shown, .slot_count = 1, .missing = shown->count};
	while (recall.slot_count < shown->count * 2)
		recall.slot_count *= 2;
	recall.slots = calloc(recall.slot_count, sizeof *recall.slots);
	int r = recall.slots ? reserve(&recall.lines, shown->count) : -ENOMEM;
	if (r < 0) {
		recall_drop(&recall);
		return r;
	}
	for (size_t i = 0; i < shown->count; i++) {
		size_t slot = shown->order[i] & (recall.slot_count - 1);
		while (recall.slots[slot])
			slot = (slot + 1) & (recall.slot_count - 1);
		recall.slots[slot] = (uint32_t)(i + 1);
		recall.lines.places[i] = GONE;
	}
	recall.lines.count = shown->count;
	*ret = recall;
	return 0;
}

int recall_add(struct recall *recall, const struct key_hash *key, const char *name, uint64_t number)
{
	const struct shown *shown = recall->shown;
	const size_t mask = recall->slot_count - 1;
	const uint64_t wanted = fingerprint(shown, key);
	size_t slot = wanted & mask;
	while (recall->slots[slot] && shown->order[recall->slots[slot] - 1] != wanted)
		slot = (slot + 1) & mask;
	if (!recall->slots[slot])
		return 0;
	uint64_t *place = &recall->lines.places[recall->slots[slot] - 1];
	if (*place != GONE)
		return 0;
	int r = add_text(&recall->lines, name, number, place);
	return r < 0 ? r : --recall->missing == 0;
}

void recall_end(struct recall *recall)
{
	struct shown *shown = recall->shown;
	uint64_t next = shown->count;
	for (size_t i = shown->count; i-- > 0;) {
		uint64_t *place = &recall->lines.places[i];
		if (*place == GONE)
			*place |= next;
		else
			next = i;
	}
	lines_done(&shown->lines);
	shown->lines = recall->lines;
	shown->keeps_all = true;
	free(recall->slots);
}

void recall_drop(struct recall *recall)
{
	lines_done(&recall->lines);
	free(recall->slots);
}
