/*
 * Inodes: an inode is one version of one entry in one view. Its number is never used again, so
 * what the kernel caches of it is valid for ever. A version may have two inodes: one of them is promised (retries.h). And where somebody wants to write,
 * each lookup has an inode of its own: the kernel takes what is written for the size of an inode, and nobody else is to see that.
 *
 * An inode holds no descriptor. It lives until the kernel forgets it and no request holds it.
 */
#ifndef CKFS_INODE_H
#define CKFS_INODE_H

#include "draft.h"

#include "ckfs/backend.h"
#include "ckfs/key.h"
#include "ckfs/table.h"

#include <pthread.h>
#include <stdatomic.h>

/* The fixed ones. Directory of view i: INODE_ROOT + i. */
#define INODE_ROOT 1
#define INODE_CONTROL 100 /* .ckfs */
#define INODE_STATS 101   /* .ckfs/stats */
#define INODE_FIRST 1000

struct inode {
	/* immutable */
	uint64_t id;
	unsigned view;
	bool by_text;  /* of its entry: entries_go_by_text() */
	bool promised; /* only lookups give it, no listing does (retries.h) */
	bool own;      /* of one lookup or creation alone: it may be opened for writing */
	struct key_hash hash;
	struct version version;
	struct timespec written;

	atomic_uint_least64_t size;
	atomic_bool filled; /* its pages were given to the kernel (see fill.h) */
	atomic_bool has_header; /* attributes_have_header(), as of the last look at its version */
	atomic_bool recalled; /* its last lookup was answered without a question (entries_found_lately): an open asks */
	_Atomic(struct draft *) draft; /* what is written to it, a reference; NULL: nobody has opened it for writing */
	atomic_int_least64_t listed_until; /* monotonic ms: until then the kernel may open it without a lookup */

	/* protected by mount.passthrough.lock */
	unsigned open_count; /* where passthrough may be */
	int backing;         /* how the kernel knows what backs it; 0: it is read by pages */

	/* protected by the table's lock */
	struct table_node by_id, by_what;
	uint64_t lookups;
	struct key *key; /* NULL: known by its hash alone */
};

struct inodes;

/* 0, -ENOMEM. */
int inodes_new(struct inodes **ret);
void inodes_free(struct inodes *inodes);

/*
 * Gives the inode of an entry version in a view, a new one if there is none yet, with one more lookup to forget. Remembers the key's text with
 * it, if that is known. `promised`: the one that no listing gives. 0, -ENOMEM.
 */
int inodes_enter(struct inodes *inodes, unsigned view, bool by_text, bool promised, const struct key *key, const struct stored *stored, uint64_t size,
	struct inode **ret);

/* The same, but an inode that nobody else gets: of a name that may be opened for writing. */
int inodes_enter_own(struct inodes *inodes, unsigned view, bool by_text, bool promised, const struct key *key, const struct stored *stored, uint64_t size,
	struct inode **ret);

/* The inode with this id; NULL: there is none. Valid while the kernel remembers it. */
struct inode *inodes_get(struct inodes *inodes, uint64_t id);

/* The same, held until one inodes_forget(): the kernel may forget it while a request is under way. */
struct inode *inodes_hold(struct inodes *inodes, uint64_t id);

/* Takes lookups off an inode, and frees it with the last one. Whether it was a promised one that is free now: use inode_let_go() (forget.h). */
bool inodes_forget(struct inodes *inodes, uint64_t id, uint64_t lookups);

/* Its key, with the text if that is known. 0, -ENOMEM. */
int inode_key(struct inodes *inodes, const struct inode *inode, struct key *ret);

/* st_ino: the same for the same version in the same view, also after a remount. Never 0. */
uint64_t inode_number(unsigned view, const struct key_hash *hash, const struct version *version);

size_t inodes_count(struct inodes *inodes);

#endif
