/*
 * For each key that the server has announced as changed: the number of its last change. Numbers only grow. Each is the time of the
 * announcement in nanoseconds; if two are equal, the later one is made larger.
 *
 * Bounded: if there are too many keys, all of them count as changed, and are forgotten. Any thread may call.
 */
#ifndef CKFS_REDIS_CHANGES_H
#define CKFS_REDIS_CHANGES_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* At most so many keys at a time. */
#define CHANGES_MAX 131072

struct change_slot {
	uint64_t key;    /* hash of the key as the server knows it; 0: free */
	uint64_t number;
};

struct changes {
	pthread_mutex_t lock;
	struct change_slot *slots;
	size_t count;
	uint64_t base;    /* the number of keys that are not in the table */
	uint64_t last;    /* number that was given */
	uint64_t changed; /* number of the last change; 0: there was none */
	struct timespec since; /* when this began; constant */
};

/* 0, -ENOMEM. */
int changes_init(struct changes *changes);
void changes_done(struct changes *changes);

void changes_note(struct changes *changes, uint64_t key);

/* All keys count as changed now. */
void changes_note_all(struct changes *changes);

/* Number of the last change of a key. *ret_written (may be NULL): when that was, if it was announced, else when this table began. */
uint64_t changes_of(struct changes *changes, uint64_t key, struct timespec *ret_written);

/* When anything last changed. */
struct timespec changes_last(struct changes *changes);

/* A number that no change has. */
uint64_t changes_unique(struct changes *changes);

#endif
