#include "changes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS (CHANGES_MAX * 2)

int changes_init(struct changes *changes)
{
	*changes = (struct changes){.slots = calloc(SLOTS, sizeof *changes->slots)};
	pthread_mutex_init(&changes->lock, NULL);
	clock_gettime(CLOCK_REALTIME, &changes->since);
	return changes->slots ? 0 : -ENOMEM;
}

void changes_done(struct changes *changes)
{
	pthread_mutex_destroy(&changes->lock);
	free(changes->slots);
}

static struct timespec time_of(uint64_t number)
{
	return (struct timespec){.tv_sec = (time_t)(number / 1000000000), .tv_nsec = (long)(number % 1000000000)};
}

/* changes->lock is held. */
static uint64_t next_number(struct changes *changes)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t number = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	changes->last = number > changes->last ? number : changes->last + 1;
	return changes->last;
}

/* changes->lock is held. */
static uint64_t next_change(struct changes *changes)
{
	return changes->changed = next_number(changes);
}

/* The slot of a key, or the free slot for it. The table is never more than half full. */
static struct change_slot *slot_of(const struct changes *changes, uint64_t key)
{
	size_t i = key % SLOTS;
	while (changes->slots[i].key && changes->slots[i].key != key)
		i = (i + 1) % SLOTS;
	return &changes->slots[i];
}

/* 0 marks a free slot. */
static uint64_t of(uint64_t key)
{
	return key ? key : 1;
}

static void note_all(struct changes *changes)
{
	changes->base = next_change(changes);
	/* To clear the memory of an empty table would be to use it. */
	if (changes->count > 0)
		memset(changes->slots, 0, SLOTS * sizeof *changes->slots);
	changes->count = 0;
}

void changes_note(struct changes *changes, uint64_t key)
{
	pthread_mutex_lock(&changes->lock);
	struct change_slot *slot = slot_of(changes, of(key));
	if (!slot->key && changes->count == CHANGES_MAX) {
		note_all(changes);
		slot = slot_of(changes, of(key));
	}
	changes->count += !slot->key;
	*slot = (struct change_slot){of(key), next_change(changes)};
	pthread_mutex_unlock(&changes->lock);
}

void changes_note_all(struct changes *changes)
{
	pthread_mutex_lock(&changes->lock);
	note_all(changes);
	pthread_mutex_unlock(&changes->lock);
}

uint64_t changes_of(struct changes *changes, uint64_t key, struct timespec *ret_written)
{
	pthread_mutex_lock(&changes->lock);
	const struct change_slot *slot = slot_of(changes, of(key));
	uint64_t number = slot->key ? slot->number : changes->base;
	if (ret_written)
		*ret_written = slot->key ? time_of(number) : changes->since;
	pthread_mutex_unlock(&changes->lock);
	return number;
}

struct timespec changes_last(struct changes *changes)
{
	pthread_mutex_lock(&changes->lock);
	uint64_t changed = changes->changed;
	pthread_mutex_unlock(&changes->lock);
	return changed ? time_of(changed) : changes->since;
}

uint64_t changes_unique(struct changes *changes)
{
	pthread_mutex_lock(&changes->lock);
	uint64_t number = next_number(changes);
	pthread_mutex_unlock(&changes->lock);
	return number;
}
