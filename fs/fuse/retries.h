/*
 * Opens that were answered with ESTALE. The kernel then looks the name up again and opens what it finds, once: a second ESTALE would reach the user.
 * ckfs cannot tell which caller comes back (those outside of its pid namespace have no pid). So for some seconds it promises whatever any lookup finds
 * of that key: that version can be opened, even if it is overwritten before. A promised version has an inode that no listing gives, so each of its
 * opens follows a lookup of its own, and its entry is held until then.
 *
 * Who opened no name (/proc/PID/fd/N, /dev/stdin, a file that is a mountpoint itself) comes back at once: the same thread, for the same inode, without
 * a lookup. No lookup can help it.
 *
 * An open to write is answered so, too, when others may have the inode. Whoever writes over one value mostly goes on to the next: for some seconds
 * each lookup in frame/, of any key, gives an inode of its own, which may be opened for writing as well as for reading.
 */
#ifndef CKFS_RETRIES_H
#define CKFS_RETRIES_H

#include "ckfs/deadlines.h"
#include "ckfs/entry.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* At most so many keys that were to be read are remembered, and so many versions held: the oldest gives way. Each is for RETRY_MS, or until the kernel forgets the inode. */
#define RETRIES_MAX 256
#define RETRY_MS 10000

/* Threads that were told ESTALE and have not come back yet, which they do at once: the oldest gives way. */
#define TOLD_MAX 64
#define STALE_MS 1000

struct retries {
	atomic_bool any; /* a key that was to be read was told ESTALE, ever */
	atomic_int_least64_t writers_until; /* monotonic ms: until then what is looked up in frame/ may be wanted for writing */
	struct deadlines promises; /* what nobody has come for is let go */
	/* protected by promises.lock */
	struct {
		struct key_hash key;
		int64_t until; /* monotonic ms */
	} due[RETRIES_MAX];
	unsigned next_due;
	struct {
		pid_t thread; /* 0: none */
		uint64_t inode;
		int64_t until; /* monotonic ms */
	} told[TOLD_MAX];
	unsigned next_told;
	atomic_uint told_count; /* may be read without the lock */
};

void retries_init(struct retries *retries);
void retries_done(struct retries *retries);

/* Remembers that an open of a key to read it was answered with ESTALE. */
void retry_note(struct retries *retries, const struct key_hash *key);

/* Whether an open of a key was answered so not long ago. A lookup of it then has to find the value whole, and promises it. */
bool retry_is_due(struct retries *retries, const struct key_hash *key);

/* The same of opens to write, of any key. A lookup in frame/ then gives an inode of its own. */
void retry_note_writer(struct retries *retries);
bool retry_of_writer_is_due(const struct retries *retries);

/* Notes that a thread is told ESTALE for its open of an inode. Thread 0 is nobody. */
void retry_tell(struct retries *retries, pid_t thread, uint64_t inode);

/* A thread comes with a lookup: it opens by a name. */
void retry_looks_up(struct retries *retries, pid_t thread);

/* Whether a thread that opens an inode was told ESTALE for it and has looked nothing up since: it has opened no name. Forgets it. */
bool retry_has_no_name(struct retries *retries, pid_t thread, uint64_t inode);

/* Promises an entry, which a lookup has found, by its inode. Takes a reference of its own. */
void retry_promise(struct retries *retries, uint64_t inode, struct entry *entry);

/* Drops the promise of an inode that the kernel has forgotten: nobody can open it any more. */
void retry_forget(struct retries *retries, uint64_t inode);

/* The entry that an inode was promised to be: a reference; NULL: none. Call it once for each open. */
struct entry *retry_take(struct retries *retries, uint64_t inode);

#endif
