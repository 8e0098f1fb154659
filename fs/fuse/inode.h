/*
 * Inodes: an inode is one version of one entry in one view. Its number is never used again, so
 * what the kernel keeps of it is valid for ever.
 *
 * An inode holds no descriptor. It lives as long as the kernel remembers it.
 */
#ifndef CKFS_INODE_H
#define CKFS_INODE_H

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
	bool interop;
	struct key_hash hash;
	struct version version;
	struct timespec written;

	atomic_uint_least64_t size;
	atomic_bool filled; /* its pages were given to the kernel (see fill.h) */
	atomic_int_least64_t listed_until; /* monotonic ms: until then the kernel may open it without a lookup */

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
 * The inode of an entry version in a view, made at first sight, with one more lookup to forget. A key whose
 * text is known is remembered with it. 0, -ENOMEM.
 */
int inodes_enter(struct inodes *inodes, unsigned view, const struct key *key, const struct stored *stored, uint64_t size,
	struct inode **ret);

/* The inode with this id; NULL for one that is none. Valid while the kernel remembers it. */
struct inode *inodes_get(struct inodes *inodes, uint64_t id);

/* The same, held until inodes_forget() of one lookup: a request that was answered early may not be over yet. */
struct inode *inodes_hold(struct inodes *inodes, uint64_t id);

void inodes_forget(struct inodes *inodes, uint64_t id, uint64_t lookups);

/* Its key, with the text if that is known. 0, -ENOMEM. */
int inode_key(struct inodes *inodes, const struct inode *inode, struct key *ret);

/* st_ino: the same for the same version in the same view, also after a remount. Never 0. */
uint64_t inode_number(unsigned view, const struct key_hash *hash, const struct version *version);

size_t inodes_count(struct inodes *inodes);

#endif
