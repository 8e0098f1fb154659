/*
 * An open directory: its lines by their number, which is their offset. The directory's own names come first, then the entries, in the order of the
 * backend. Each line keeps its number until a reader goes back to the first one: then the listing begins anew, as with rewinddir(), and the numbers
 * given out before mean the lines that have them now.
 *
 * Lines that were shown can be shown again (shown.h), so a listing costs as much as there are names, whatever the reader's buffer and wherever it
 * seeks.
 */
#ifndef CKFS_LISTING_H
#define CKFS_LISTING_H

#include "line.h"
#include "shown.h"

#include "ckfs/event.h"

struct listing {
	struct handle handle;
	struct mount *m;
	uint64_t directory;
	atomic_uint refs; /* the open handle, and each request that reads, also when its caller has gone */
	struct work end;
	struct event free; /* told when nobody reads */
	/* of the one who reads */
	struct entries_cursor *cursor; /* NULL: not yet opened, or it lists no entries */
	bool begun;               /* it was asked for names */
	int owed;                 /* the error that ended the last reply after some lines: the next reply tells it */
	struct shown shown;
	struct entries_cursor *again;  /* finds the names of shown lines once more; NULL: nobody waits for that */
	struct recall recall;     /* what it has found: after an interrupt it goes on from there */
	size_t told;              /* the most entry lines that were ever given out, also before it began anew */
	enum { HELD_NOTHING, HELD_LISTED, HELD_BEGUN, HELD_SHOWN } held;
	struct listed listed;     /* LISTED: the next one, as the cursor gave it */
	bool listed_value;        /* LISTED: with its value */
	struct line line;         /* BEGUN: the next one, not shown yet; SHOWN: the last one, which did not fit its reply */
	struct entry *entry;      /* BEGUN: has to be looked into; NULL: has not */
};

/* A listing with one reference, the handle's, which handle_free() drops. NULL: no memory. */
struct listing *listing_new(struct mount *m, uint64_t directory);
struct listing *listing_ref(struct listing *listing);
void listing_unref(struct listing *listing);

/* Begins to list the entries, if there are any to list. 0, -errno. */
int listing_open(struct listing *listing);

/* Begins to read at a line. One reads at a time, the others wait here. 0, listing_leave() ends it; -EINTR *cancel became true; -errno it cannot begin anew. */
int listing_enter(struct listing *listing, uint64_t number, const atomic_bool *cancel);
void listing_leave(struct listing *listing);

/*
 * The line with a number or, if its entry is gone, the next one that is there: *number becomes its number. A new line has its entry's attributes, if
 * `plus`. 1; 0 at the end; -EINVAL the number was never given out; -EINTR soon after *cancel became true; -errno, after which it can be called again.
 */
int listing_line(struct listing *listing, uint64_t *number, bool plus, const atomic_bool *cancel, struct line *ret);

/* Takes back the line that listing_line() gave last. */
void listing_put_back(struct listing *listing, uint64_t number, struct line *line);

/* Keeps an error that came after some lines: whoever reads on gets it. */
void listing_owe(struct listing *listing, int r);

#endif
