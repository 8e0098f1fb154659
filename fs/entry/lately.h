/*
 * Where each question to the store costs money: which version of a key was the newest one a moment ago. One command looks a name up more than once (`ls -l`
 * does for each attribute), and a lookup may be answered with what another one has just found. An open never is. Any thread.
 */
#ifndef CKFS_ENTRY_LATELY_H
#define CKFS_ENTRY_LATELY_H

#include "entry_id.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define LATELY 256

struct lately {
	pthread_mutex_t lock;
	/* protected by lock: one place for each key that has it */
	struct {
		struct entry_id id;
		uint64_t ask;  /* the question that has told it; answers may come in another order */
		int64_t until; /* monotonic ms */
		bool is;       /* there was such a version; else none */
	} last[LATELY];
};

void lately_init(struct lately *lately);
void lately_done(struct lately *lately);

/* What a question has told of a key: the version that it has, or (NULL) that there is none or that it could not be told. It is good until `until`. */
void lately_note(struct lately *lately, const struct key_hash *key, const struct entry_id *id, uint64_t ask, int64_t until);

/* The version that a key had a moment ago. */
bool lately_find(struct lately *lately, const struct key_hash *key, struct entry_id *ret);

#endif
