/*
 * Names of a directory that are looked at together: ahead of being shown, and by another thread as well.
 * One thread at a time calls these functions on a batch.
 */
#ifndef CKFS_FILE_BATCH_H
#define CKFS_FILE_BATCH_H

#include "file.h"

#include "ckfs/event.h"

#include <stdatomic.h>

#define BATCH_MAX 512

/* With its value an entry that was looked at holds a descriptor until it is shown. */
#define BATCH_VALUES_MAX 64

/* A name that was not looked at yet. */
#define UNSEEN 1

/* A name of the directory: whether it is an entry's, its file tells. */
struct candidate {
	struct key key; /* with its text, if the file has it */
	bool named;     /* it has it, and was not opened */
	char name[KEY_HEX_SIZE + 1];
	uint64_t inode; /* as the directory says */
	int r; /* UNSEEN; 0, and `stored`; -errno */
	struct stored stored;
};

struct batch {
	struct file_backend *backend;
	int directory; /* where the names are: open for as long as the batch has any */
	bool value;    /* they are looked at with their values */
	unsigned count, at;
	struct candidate candidates[BATCH_MAX];
	atomic_uint next; /* the candidate that the next free thread looks at */
	int64_t since;    /* monotonic ms: when it was shared */
	struct work work;
	bool is_shared;   /* another thread may have it, too; it tells when that has done with it */
	struct event returned;
};

void batch_init(struct batch *b, struct file_backend *f);
void batch_done(struct batch *b);

/* Begins again, without names. */
void batch_begin(struct batch *b, int directory, bool value);

/* Adds a name, if it can be an entry's. */
void batch_add(struct batch *b, const char *name, uint64_t inode);
bool batch_is_full(const struct batch *b);

/* Has a batch looked at by another thread, if that is worth waking it. It is taken back before it is shown. */
void batch_share(struct batch *b);

/* Takes a batch back: what is left of it is looked at here. 0; -EINTR *cancel became true: it is to be taken back still. */
int batch_take_back(struct batch *b, const atomic_bool *cancel);

/* Takes a batch back and forgets what was learnt ahead, with the descriptors that it holds. Waits for no more than one look. */
void batch_forget(struct batch *b);

/* The next name that was not shown; NULL: there is none. What it holds is the caller's, who may take it or drop it by candidate_done. */
struct candidate *batch_next(struct batch *b);

/* Gives back the one that was last, which is looked at again then. */
void batch_put_back(struct batch *b);
bool batch_is_spent(const struct batch *b);

/* Looks at a name that is to be shown, if that was not done ahead as it is wanted. */
void candidate_look(const struct batch *b, struct candidate *candidate, bool value);
void candidate_done(struct candidate *candidate);

/* Whether a name is not shown: gone meanwhile, or no entry. */
bool candidate_is_hidden(const struct candidate *candidate);

/* Whether it is this one entry that cannot be read; else the listing cannot go on. */
bool candidate_is_unread(const struct candidate *candidate);

#endif
