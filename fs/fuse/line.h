/* The lines of a listing: a directory's own names, and what a view shows of an entry. */
#ifndef CKFS_LINE_H
#define CKFS_LINE_H

#include "mount.h"

#include "ckfs/view_name.h"

/* One line of a listing, ready for a reply. */
struct line {
	char name[VIEW_NAME_MAX];
	uint64_t number;  /* st_ino */
	mode_t type;
	bool has_attr;    /* the entry's size is known: its inode can go along */
	int64_t made;     /* monotonic ms, before the entry was looked into */
	struct key key;
	struct stored stored;
	uint64_t size;
	bool has_header; /* attributes_have_header() */
};

void line_done(struct line *line);

/* Whether a directory lists entries. */
bool directory_is_view(uint64_t directory);

/* A directory's own names: number i of them, false past the last; and how many they are. */
bool line_of_directory(uint64_t directory, uint64_t i, struct line *ret);
uint64_t lines_of_directory(uint64_t directory);

/*
 * Begins the line of an entry: it has its name and, without its size, can be shown. Takes what `listed` holds, unless it fails. *ret_entry: what
 * line_look() is to look into; NULL: nothing is (always without `look`). 1 and *ret, 0 when it is not shown, -ENOMEM.
 */
int line_begin(struct mount *m, unsigned view_id, struct listed *listed, bool look, struct line *ret, struct entry **ret_entry);

/*
 * Looks into its entry as far as the listing needs it. 1; 0 it is not shown; -ENOMEM; -EINTR soon after *cancel became true. After a failure it
 * can be called again.
 */
int line_look(unsigned view_id, struct entry *entry, const atomic_bool *cancel, struct line *line);

#endif
