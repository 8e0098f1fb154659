/*
 * The entry lines that an open directory has shown, by their number, for whoever goes back: the kernel asks again for lines of the last
 * reply that its reader had no room for, and users seek.
 *
 * The last ones are at hand with their names. Of those before only a fingerprint is, 8 bytes a line. Who goes back further has the names found
 * once more, by a listing of their own: from then on all lines are at hand, with some 24 bytes a line and the name.
 */
#ifndef CKFS_SHOWN_H
#define CKFS_SHOWN_H

#include "ckfs/key.h"

#include <stddef.h>
#include <stdint.h>

/* So many lines before the one that is asked for are at hand at least. */
#define SHOWN_RECENT 1024

/* Lines with their names: those from number `first` on. */
struct shown_lines {
	size_t first;
	uint64_t *places; /* of each: where its text is; or that it is gone, and the next one that is not */
	size_t count, capacity;
	char *text;       /* of each: its inode number, the name, a NUL */
	size_t length, text_capacity;
};

struct shown {
	uint64_t seed;   /* of the fingerprints: nobody can make two keys look the same */
	uint64_t *order; /* fingerprints of the keys */
	size_t count, capacity;
	bool keeps_all;
	struct shown_lines lines;
};

void shown_init(struct shown *shown);
void shown_done(struct shown *shown);

/* Adds a line. 0, -ENOMEM. */
int shown_add(struct shown *shown, const struct key_hash *key, const char *name, uint64_t number);

/* Lines before this number need not be at hand, but for some. */
void shown_trim(struct shown *shown, size_t number);

/* Whether a line is at hand; if not, it has to be recalled. */
bool shown_has(const struct shown *shown, size_t number);

/* The first line from one on that is at hand and whose entry is not gone; their count: none is. */
size_t shown_from(const struct shown *shown, size_t number);

/* A line that shown_from() gave: its name, borrowed until the next call, and inode number. */
const char *shown_line(const struct shown *shown, size_t number, uint64_t *ret_number);

/* Names that are found once more. */
struct recall {
	struct shown *shown;
	uint32_t *slots; /* 1 + the number of a line, by its fingerprint; 0: free */
	size_t slot_count;
	size_t missing;  /* lines that were not found yet */
	struct shown_lines lines;
};

/* 0, -ENOMEM. recall_end() is to follow, or recall_drop(). */
int recall_begin(struct shown *shown, struct recall *ret);

/* Adds a name that was found. 0; 1 that was the last; -ENOMEM. */
int recall_add(struct recall *recall, const struct key_hash *key, const char *name, uint64_t number);

/* All were found that are there still: from now on each line is at hand. */
void recall_end(struct recall *recall);
void recall_drop(struct recall *recall);

#endif
