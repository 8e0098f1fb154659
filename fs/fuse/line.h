/* The lines of a listing: a directory's own names, and what a view shows of an entry. */
#ifndef CKFS_LINE_H
#define CKFS_LINE_H

#include "mount.h"

#include "ckfs/name.h"

/* A name with its extension. */
#define LISTED_NAME_MAX (NAME_BYTES_MAX + 16)

/* One line of a listing, ready for a reply. */
struct line {
	char name[LISTED_NAME_MAX];
	uint64_t number;  /* st_ino */
	mode_t type;
	bool has_attr;    /* the entry's size is known: its inode can go along */
	int64_t made;     /* monotonic ms, before the entry was looked into */
	struct key key;
	struct stored stored;
	uint64_t size;
};

void line_done(struct line *line);

/* Whether a directory lists entries. */
bool directory_is_view(uint64_t directory);

/* A directory's own names: number i of them, false past the last; and how many they are. */
bool line_of_directory(uint64_t directory, uint64_t i, struct line *ret);
uint64_t lines_of_directory(uint64_t directory);

/* Whether the line of an entry needs more than a name and a version. */
bool line_needs_value(const struct view *view, bool plus);

/* The line of an entry. Takes what `listed` holds. 1 and *ret, 0 when it is not shown, -errno. */
int line_of_entry(struct mount *m, unsigned view_id, struct listed *listed, bool plus, struct line *ret);

#endif
