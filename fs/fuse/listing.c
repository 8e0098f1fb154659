#include "listing.h"

#include "ckfs/cleanup.h"
#include "ckfs/log.h"
#include "ckfs/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

static void drop_held(struct listing *l)
{
	if (l->held == HELD_BEGUN || l->held == HELD_SHOWN)
		line_done(&l->line);
	if (l->held == HELD_LISTED)
		listed_done(&l->listed);
	entry_unref(l->entry);
	l->entry = NULL;
	l->held = HELD_NOTHING;
}

static void drop_recall(struct listing *l)
{
	if (l->again) {
		entries_list_end(steal(l->again));
		recall_drop(&l->recall);
	}
}

static void listing_free(struct handle *handle)
{
	listing_unref(container_of(handle, struct listing, handle));
}

struct listing *listing_new(struct mount *m, uint64_t directory)
{
	struct listing *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->handle.free = listing_free;
	l->m = m;
	l->directory = directory;
	l->refs = 1;
	event_init(&l->free, true);
	shown_init(&l->shown);
	return l;
}

struct listing *listing_ref(struct listing *l)
{
	atomic_fetch_add(&l->refs, 1);
	return l;
}

void listing_unref(struct listing *l)
{
	if (atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	drop_held(l);
	drop_recall(l);
	entries_list_end(l->cursor);
	shown_done(&l->shown);
	event_done(&l->free);
	free(l);
}

int listing_open(struct listing *l)
{
	return directory_is_view(l->directory) && !l->cursor ? entries_list(l->m->entries, &l->cursor) : 0;
}

/* From its start, with what is there now. */
static void begin_anew(struct listing *l)
{
	drop_held(l);
	drop_recall(l);
	entries_list_end(l->cursor);
	l->cursor = NULL;
	shown_done(&l->shown);
	shown_init(&l->shown);
	l->begun = false;
	l->owed = 0;
}

int listing_enter(struct listing *l, uint64_t number, const atomic_bool *cancel)
{
	int r = event_take(&l->free, cancel);
	if (r < 0)
		return r;
	if (number == 0 && l->begun)
		begin_anew(l);
	r = listing_open(l);
	if (r < 0) {
		listing_leave(l);
		return r;
	}
	uint64_t own = lines_of_directory(l->directory);
	shown_trim(&l->shown, number > own ? number - own : 0);
	return 0;
}

void listing_leave(struct listing *l)
{
	event_tell(&l->free);
}

static unsigned view_of(const struct listing *l)
{
	return (unsigned)(l->directory - INODE_ROOT);
}

/* --- the next line --- */

/* An empty listing would say that there is nothing. */
static void tell_incomplete(struct mount *m)
{
	if (!atomic_exchange(&m->told_incomplete, true))
		log_line(LOG_NOTICE, "%s: its keys cannot be listed: directories show those that were opened, and those of -o keys=FILE",
			m->backend->ops->title);
}

/* Takes names from the cursor until one may be shown. 1, 0 at the end, -errno. */
static int begin_line(struct listing *l, bool plus, const atomic_bool *cancel)
{
	/* What is known is shown without a question, since each may cost money. */
	const bool look = view_needs_value(views[view_of(l)], plus && !entries_list_is_of_known(l->cursor));
	int r = 0;
	if (l->held == HELD_SHOWN)
		drop_held(l);
	l->begun = true;
	while (r == 0) {
		if (l->held != HELD_LISTED)
			l->listed_value = look;
		r = l->held == HELD_LISTED ? 1 : entries_next(l->cursor, look, cancel, &l->listed);
		if (entries_list_is_of_known(l->cursor))
			tell_incomplete(l->m);
		if (r <= 0)
			return r;
		l->held = HELD_LISTED;
		r = line_begin(l->m, view_of(l), &l->listed, look && l->listed_value, &l->line, &l->entry);
		if (r >= 0)
			l->held = r == 1 ? HELD_BEGUN : HELD_NOTHING;
	}
	return r;
}

/* 1, 0 at the end, -errno: whoever reads on gets this name, or the error again. */
static int next_line(struct listing *l, bool plus, const atomic_bool *cancel, struct line *ret)
{
	int r = l->cursor ? l->owed : 0;
	l->owed = 0;
	if (r < 0 || !l->cursor)
		return r;
	for (;;) {
		r = l->held == HELD_BEGUN ? 1 : begin_line(l, plus, cancel);
		if (r == 1 && l->entry)
			r = line_look(view_of(l), l->entry, cancel, &l->line);
		if (r < 0 || (r == 0 && l->held != HELD_BEGUN))
			return r;
		if (r == 1)
			break;
		drop_held(l);
	}
	entry_unref(l->entry);
	l->entry = NULL;
	r = shown_add(&l->shown, &l->line.key.hash, l->line.name, l->line.number);
	if (r < 0)
		return r;
	if (l->told < l->shown.count)
		l->told = l->shown.count;
	*ret = l->line;
	l->held = HELD_NOTHING;
	return 1;
}

/* Goes on to a line that was given out before it began anew. 1, 0 there are not so many, -errno. */
static int go_on_to(struct listing *l, size_t i, const atomic_bool *cancel)
{
	struct line line;
	int r = i <= l->told ? 1 : -EINVAL;
	while (r == 1 && l->shown.count < i) {
		r = next_line(l, false, cancel, &line);
		if (r == 1)
			line_done(&line);
		shown_trim(&l->shown, l->shown.count);
	}
	return r;
}

/* --- lines that were shown --- */

/* Begins to find the names of all lines once more, or goes on with it. 0, -errno. */
static int begin_recall(struct listing *l)
{
	if (l->again && l->recall.lines.count == l->shown.count)
		return 0;
	drop_recall(l);
	int r = entries_list(l->m->entries, &l->again);
	if (r < 0)
		return r;
	r = recall_begin(&l->shown, &l->recall);
	if (r < 0)
		entries_list_end(steal(l->again));
	return r;
}

/* 1, -errno: after -EINTR it goes on from there. */
static int recall_lines(struct listing *l, const atomic_bool *cancel)
{
	struct listed listed;
	struct line line;
	struct entry *none;
	bool all = false;
	int r = begin_recall(l);
	if (r < 0)
		return r;
	while (!all && (r = entries_next(l->again, false, cancel, &listed)) == 1) {
		r = line_begin(l->m, view_of(l), &listed, false, &line, &none);
		if (r == 1) {
			r = recall_add(&l->recall, &line.key.hash, line.name, line.number);
			line_done(&line);
			all = r == 1;
		} else if (r < 0) {
			listed_done(&listed);
		}
		if (r < 0)
			break;
	}
	if (r == -EINTR)
		return r;
	if (r < 0) {
		drop_recall(l);
		return r;
	}
	entries_list_end(steal(l->again));
	recall_end(&l->recall);
	return 1;
}

static void line_again(struct listing *l, size_t i, struct line *ret)
{
	if (i == l->shown.count - 1 && l->held == HELD_SHOWN) {
		*ret = l->line;
		l->held = HELD_NOTHING;
		return;
	}
	*ret = (struct line){.type = S_IFREG};
	strcpy(ret->name, shown_line(&l->shown, i, &ret->number));
}

int listing_line(struct listing *l, uint64_t *number, bool plus, const atomic_bool *cancel, struct line *ret)
{
	if (was_cancelled(cancel))
		return -EINTR;
	if (line_of_directory(l->directory, *number, ret))
		return 1;
	const uint64_t own = lines_of_directory(l->directory);
	size_t i = (size_t)(*number - own);
	int r = i > l->shown.count ? go_on_to(l, i, cancel) : 1;
	if (r == 1 && !shown_has(&l->shown, i))
		r = recall_lines(l, cancel);
	if (r != 1)
		return r;
	i = shown_from(&l->shown, i);
	*number = own + i;
	if (i == l->shown.count)
		return next_line(l, plus, cancel, ret);
	line_again(l, i, ret);
	return 1;
}

void listing_put_back(struct listing *l, uint64_t number, struct line *line)
{
	uint64_t own = lines_of_directory(l->directory);
	if (number < own || number - own != l->shown.count - 1 || l->held != HELD_NOTHING) {
		line_done(line);
		return;
	}
	l->line = *line;
	l->held = HELD_SHOWN;
}

void listing_owe(struct listing *l, int r)
{
	l->owed = r;
}
