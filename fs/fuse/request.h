/*
 * A request that may have to wait: it asks the backend for an entry, has the entry peeled, and is answered. One struct is all of it, from its
 * beginning to its end, and the kernel gets exactly one answer.
 *
 * It begins on the stack of its caller and stays there as long as nothing waits. To wait it is copied to memory of its own, and from then on it
 * hears of interrupts.
 *
 * A local backend is asked on the spot. A remote one may keep its caller waiting: it is asked on the request's thread if there is another one that
 * takes requests, else on a thread that may wait. A listing may take long with any backend: it has threads of its own, so that it keeps no others
 * waiting.
 *
 *   state        who is at work                          what an interrupt does
 *   NEW          its caller; nobody else knows of it     moves it to EARLY
 *   ASKING       a thread that asks the backend          moves it to INTERRUPTED
 *   HEARING      the same, of a request that `hears`     sets `cancelled`: ask() ends soon, and what it has is the answer
 *   PEELING      who peels the entry                     moves it to INTERRUPTED, and nobody peels for it any more
 *   ANSWERING    the thread that answers                 nothing
 *   EARLY        its caller answers with EINTR           nothing
 *   INTERRUPTED  the interrupt answers with EINTR        nothing
 *
 * The one at work moves it on, from NEW to ASKING, HEARING, PEELING and ANSWERING. It may leave out any of these; one that never waits is answered
 * in NEW. Whoever moves it to one of the last three states answers, and after the answer nobody touches `req`. In INTERRUPTED the one at work may
 * still have to come back: it drops what it finds, and the last of the two ends the request.
 */
#ifndef CKFS_FUSE_REQUEST_H
#define CKFS_FUSE_REQUEST_H

#include "latency.h"
#include "reply.h"
#include "retries.h"

#include "ckfs/entry.h"
#include "ckfs/work.h"

#include <pthread.h>
#include <stdatomic.h>

/* Threads that wait for a remote backend. More, while all of them wait: for a server that has stopped, which nobody knows yet, so that others go on. */
#define WAITER_THREADS 16
#define WAITER_THREADS_MAX 128

/* Threads for listings: fewer than there are connections to a server, so that others find one. */
#define LISTER_THREADS 8

/* Threads that store what was written, and wait at what is being stored: one for each file that is closed at a time, up to this. More, while all wait. */
#define STORER_THREADS 4
#define STORER_THREADS_MAX 64

struct mount;
struct request;

/* What a kind of requests does. None of these but answer() touches `req`. */
struct request_kind {
	size_t size; /* of the struct that begins with the request */

	/* Asks the backend; sets `entry`, if it succeeds, to what is to be peeled to `level`. NULL: `entry` is set before it starts. 0, -errno. */
	int (*ask)(struct request *request);

	/* Judges an entry that was peeled to `level`; r: 0, or why it was not. 0 or -errno, to be answered; a deeper level, to go on to. NULL: r is it. */
	int (*judge)(struct request *request, int r);

	/* Answers. r: what ask() returned, if `entry` is NULL; else what judge() did. */
	void (*answer)(struct request *request, int r);

	/* Lets go of all that it holds but `entry`, answered or interrupted. NULL: nothing. */
	void (*end)(struct request *request);
};

struct request {
	const struct request_kind *kind;
	struct mount *m;
	fuse_req_t req;
	struct work_pool *pool; /* whose threads it asks on; NULL: as above */
	bool hears;             /* ask() hears soon that it is cancelled, and what it has by then is the answer, not EINTR */
	unsigned view_id;
	enum level level;
	struct entry *entry; /* a reference, which the request drops at its end */

	atomic_bool cancelled; /* nobody waits for what ask() asks any more */

	/* private */
	atomic_int state;
	atomic_bool one_has_left; /* INTERRUPTED: the first of the two */
	struct entry_wait wait;
	struct work work;
	struct latency latency; /* since it waits */
	struct request *before, *after; /* protected by requests.lock */
};

/* Requests that ask just now. */
struct requests {
	pthread_mutex_t lock;
	/* protected by lock */
	struct request *first;
	bool stopped; /* those to come are cancelled, too */
};

/* Starts a request, which is copied where it has to outlive the call. */
void request_start(struct request *request);

/*
 * Makes the kernel look the name up again (retries.h). inode: what was opened; 0: nothing was. key NULL: to write, and it does not matter over which
 * version.
 */
void look_up_again(struct mount *m, fuse_req_t req, uint64_t inode, const struct key_hash *key);

/* Answers with an error, and logs what is wrong with its entry, if it has one: once for each version. `reason`: static text, or NULL. */
void request_fail(struct request *request, int r, const char *reason);

/* Cancels all requests that ask, and those to come: the mount ends. */
void requests_stop(struct mount *m);

#endif
