/*
 * A draft: what is being written to a file of frame/, until it is stored. Readers see nothing of it: its inode is its own, and the entry stays as it is.
 *
 * It begins empty, or as a value that there is. What is written is collected where the backend can take it over as it lies, else in the spool. Bytes
 * that nobody has written yet are those of that value, or zeros. It is stored whole, or not at all.
 *
 * One at a time is at a draft, between draft_enter() and draft_leave(); the others wait there. To store one may take as long as a server does, so who
 * has something to do there tries to enter, and else leaves it to a thread of the storers, which hears of interrupts.
 */
#ifndef CKFS_FUSE_DRAFT_H
#define CKFS_FUSE_DRAFT_H

#include "ckfs/backend.h"
#include "ckfs/collected.h"
#include "ckfs/event.h"
#include "ckfs/key.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

struct mount;

struct draft {
	struct mount *m;
	atomic_uint refs;
	atomic_uint handles; /* open ones: with the last one all that was collected goes */
	struct key key;
	atomic_bool changed; /* since it was stored, or began */
	atomic_bool asked;   /* somebody has closed it since, and was told what came of it: nobody else is to store it */
	atomic_uint_least64_t writer; /* who has written last and has yet to close it: all who share a table of descriptors (the kernel's lock owner); 0: nobody */
	struct event free;   /* told when nobody is at it */
	/* of the one who is at it */
	struct slice base;   /* what it began as, or what was stored last */
	uint64_t length;
	struct collected collected; /* bytes at the beginning; those behind are of `base`, or zeros */
	struct lifetime lifetime;
	bool written;        /* somebody has written, or set a length; else it is only open */
	bool tried;          /* it was tried to be stored as it is now, with this outcome */
	int outcome;
	const char *reason;  /* of that, static text; NULL: the errno says it */
	int broken;          /* a write has failed: what there is is no whole value */

	pthread_mutex_t lock;
	/* protected by lock: as stat shows it */
	uint64_t shown;
	struct timespec when;
};

/* Empty, with one reference. 0, -ENOMEM. */
int draft_new(struct mount *m, const struct key *key, struct draft **ret);
struct draft *draft_ref(struct draft *draft);
void draft_unref(struct draft *draft);

static inline void cleanup_draft_(struct draft **draft)
{
	draft_unref(*draft);
}

#define cleanup_draft cleanup_with(cleanup_draft_)

/* One more has it open, as long as anybody has. Whether anybody had. */
bool draft_open(struct draft *draft);

/* One who had it open has gone. Whether it was the last one. */
bool draft_close(struct draft *draft);

/* 0; -EINTR *cancel became true. */
int draft_enter(struct draft *draft, const atomic_bool *cancel);
bool draft_try_to_enter(struct draft *draft);
void draft_leave(struct draft *draft);

/* Has a new draft begin as a value. */
void draft_begin_as(struct draft *draft, const struct slice *value);

/*
 * 0; -EFBIG the store takes no such value; -EINTR; -ENOSPC and others as of spool_begin(), logged where ckfs lacks it. After a failure nothing is
 * stored, but after -EINTR nothing has changed.
 */
int draft_write(struct draft *draft, const void *bytes, size_t n, uint64_t at, const atomic_bool *cancel);

/* Whether much has to be copied before something is written there. */
bool draft_is_far(const struct draft *draft, uint64_t at);

/* 0, -EFBIG, -errno, as above. */
int draft_set_length(struct draft *draft, uint64_t length);

/* n bytes that it has by now. 0, -errno. */
int draft_read(struct draft *draft, uint64_t at, void *to, size_t n);

/* Lets go of all that was collected: nobody has it open any more. */
void draft_drop(struct draft *draft);

/* What stat shows. */
void draft_show(struct draft *draft, uint64_t *ret_length, struct timespec *ret_when);
void draft_set_time(struct draft *draft, const struct timespec *when);

/* Stores it, if it was changed. 0; -EINVAL it is no value; -EINTR; errors as of backend_put(). */
int draft_store(struct draft *draft, const atomic_bool *cancel);

/* Logs why it was not stored in the end, if it was written. Who writes in pieces, as a shell does for several commands, has a close between them. */
void draft_log(const struct draft *draft);

/* --- of draft.c, for draft_store.c --- */

/* All of it as a value. What lies in a file can be written on; what lies in the spool is the base from then on. 0, -EINTR, -errno. */
int draft_take(struct draft *draft, const atomic_bool *cancel, struct slice *ret);

/* What to answer for r, which collecting has failed with: what ckfs lacks is logged. */
int draft_tell(const struct draft *draft, int r);

/* It was stored as this value, which it takes. That never changes: who writes on begins with a copy of it. */
void draft_begin_anew(struct draft *draft, struct slice *value);

#endif
