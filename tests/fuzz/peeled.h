/* A cache of one value, and all that a mount would show of it: looked up, opened, read and listed as fs/fuse does, without a kernel. */
#ifndef CKFS_PEELED_H
#define CKFS_PEELED_H

#include "stored.h"

#include "ckfs/view.h"

/* What one view shows. */
struct shown {
	int lookup;         /* 0 or -errno, of a verdict or of what is lacking */
	int open;           /* 0 or -errno; as `lookup`, if that failed */
	const char *reason; /* of an error; NULL: none was told */
	uint64_t size;      /* st_size, of a lookup that went well */
	struct buf bytes;   /* what is read, of an open that went well */
};

struct peeled {
	struct shown views[VIEW_COUNT];
	struct buf attributes; /* name=value, each with a NUL behind it; told when all views were read */
	struct buf meta;       /* meta/, then */
};

struct cache_of_one;

/* `remote`: the value is found by its head and fetched. `value` is borrowed. */
struct cache_of_one *cache_of_one_new(const struct stored_value *value, bool remote);
void cache_of_one_free(struct cache_of_one *cache);

/*
 * From here on ckfs may lack what this errno says (0: nothing any more). What fails by it is shown so, and is no verdict of the entry.
 */
void cache_of_one_lack(struct cache_of_one *cache, int number);

/* From here on the value lies in a file, which is cut at `length` as soon as it was found. */
void cache_of_one_cut(struct cache_of_one *cache, uint64_t length);

/* Looks at all views, from number `first` on. Each property of a single view is checked here. */
void cache_of_one_peel(struct cache_of_one *cache, unsigned first, struct peeled *ret);
void peeled_done(struct peeled *peeled);

/* Begins to peel to the very end, and goes away: the work has to end. */
void cache_of_one_interrupt(struct cache_of_one *cache);

/* Lists the entry in each view, as far as that goes without waiting, and compares with what it shows. */
void cache_of_one_list(struct cache_of_one *cache, const struct peeled *peeled);

#endif
