/*
 * What the server has announced as changed: for each key the number of its last change. Numbers only grow, and are the
 * time of the announcement in nanoseconds (made unequal where the clock does not tell two apart).
 *
 * Bounded: when there are too many keys, all count as changed once and are forgotten. Any thread may call.
 */
#ifndef CKFS_REDIS_CHANGES_H
#define CKFS_REDIS_CHANGES_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Keys at one time. */
#define CHANGES_MAX 131072

struct change_slot {
	uint64_t key;    /* hash of the key as the server knows it; 0: free */
	uint64_t number;
};

struct changes {
	pthread_mutex_t lock;
	struct change_slot *slots;
	size_t count;
	uint64_t base; /* of keys that are not there */
	uint64_t last;
	struct timespec since; /* when this began; constant */
};

/* 0, -ENOMEM. */
int changes_init(struct changes *changes);
void changes_done(struct changes *changes);

void changes_note(struct changes *changes, uint64_t key);

/* From here on nothing that was known of any key counts. */
void changes_note_all(struct changes *changes);

/* Number of the last change of a key. *ret_written, if wanted: when that was, as far as anybody told, else when this began. */
uint64_t changes_of(struct changes *changes, uint64_t key, struct timespec *ret_written);

/* When anything last changed. */
struct timespec changes_last(struct changes *changes);

/* A number that no change has. */
uint64_t changes_unique(struct changes *changes);

#endif
