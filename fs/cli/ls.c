/* ls: the names of a view, as soon as they are known. */
#include "command.h"
#include "screen.h"

#include "ckfs/attributes.h"
#include "ckfs/buf.h"
#include "ckfs/cleanup.h"
#include "ckfs/timestamp.h"
#include "ckfs/view_name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What -l shows of a serializer's name, which comes from a header that anybody may have written. */
#define SERIALIZER_MAX 64

enum { LONG, ZERO }; /* of its own options: -l, -0 */

struct listing {
	struct run *run;
	unsigned view_id;
	bool is_long, zero;
	struct screen screen; /* on a terminal, without -l */
};

static const struct view *view_of(const struct listing *l)
{
	return views[l->view_id];
}

/* A line of the listing that is about to be shown. */
struct row {
	char name[VIEW_NAME_MAX];
	const struct key *key;
	struct entry *entry; /* what was found of it; NULL: nothing */
	bool has_size;
	uint64_t size;
};

/* --- -l --- */

static void put_serializer(struct entry *entry, struct buf *ret)
{
	cleanup_buf struct buf text = {0};
	if (!attribute_get(attribute_find("serializer"), entry, &text) || text.failed) {
		buf_puts(ret, "-");
		return;
	}
	buf_escaped(ret, text.p, text.length, SERIALIZER_MAX);
	/* A space would begin the next field. */
	for (size_t i = 0; !ret->failed && i < ret->length; i++)
		if (ret->p[i] == ' ')
			ret->p[i] = '_';
}

/* What the listing has not found is found now. */
static int complete(struct listing *l, struct row *row, const char **ret_reason)
{
	int r = row->entry && row->has_size ? 0 : 1;
	if (r == 0)
		return entry_peel_waiting(row->entry, LEVEL_PAYLOAD, NULL);
	entry_unref(steal(row->entry));
	r = entries_find(l->run->entries, row->key, false, NULL, &row->entry);
	if (r == 0)
		r = view_measure(view_of(l), row->entry, NULL, &row->size, ret_reason);
	return r < 0 ? r : entry_peel_waiting(row->entry, LEVEL_PAYLOAD, NULL);
}

static void tell_line(struct listing *l, const struct row *row, int r, const char *reason)
{
	cleanup_buf struct buf path = {0};
	const char *directory = view_of(l)->name;
	buf_printf(&path, "%s%s%s", directory, *directory ? "/" : "", row->name);
	buf_put(&path, "", 1);
	tell_failure(l->run, path.failed ? row->name : path.p, r, reason);
}

static int show_long(struct listing *l, struct row *row)
{
	struct output *out = &l->run->out;
	cleanup_buf struct buf serializer = {0};
	const char *reason = NULL;
	char text[TIMESTAMP_SIZE] = "-", fields[128];
	int r = complete(l, row, &reason);
	if (r == -ENOENT && !reason)
		return 0; /* it went meanwhile */
	if (r < 0) {
		tell_line(l, row, r, reason);
		return 0;
	}
	if (entry_expires(row->entry) == EXPIRES_UNKNOWN)
		entry_ask_expires(row->entry);
	if (entry_expires(row->entry) != EXPIRES_UNKNOWN)
		timestamp_from_expiry(entry_expires(row->entry), text);
	put_serializer(row->entry, &serializer);
	buf_put(&serializer, "", 1);
	if (serializer.failed)
		return -ENOMEM;
	snprintf(fields, sizeof fields, out->is_terminal ? "%12llu %-20s %-16s " : "%llu %s %s ", (unsigned long long)row->size, text, serializer.p);
	output_put(out, fields, strlen(fields));
	return 1;
}

/* --- a name --- */

static enum colour colour_of(const struct row *row)
{
	/* Nobody knows its key. */
	return row->key->text ? COLOUR_NONE : COLOUR_DIM;
}

static int show_name(struct listing *l, const struct row *row)
{
	struct output *out = &l->run->out;
	if (!out->is_terminal || l->zero) {
		output_put(out, row->name, strlen(row->name));
	} else if (!l->is_long) {
		return screen_add(&l->screen, row->name, colour_of(row));
	} else {
		unsigned width;
		cleanup_free char *text = screen_text(row->name, &width);
		if (!text)
			return -ENOMEM;
		screen_put(out, text, colour_of(row));
	}
	output_end_line(out, l->zero ? '\0' : '\n');
	return 0;
}

static int show(struct listing *l, struct row *row)
{
	int r = l->is_long ? show_long(l, row) : 1;
	return r == 1 ? show_name(l, row) : r;
}

/* Whether the view shows it, and what is known of it already. Takes what `listed` holds, if it succeeds. 1, 0, -ENOMEM, -EINTR. */
static int look(struct listing *l, struct listed *listed, struct row *row)
{
	if (listed->unread || entries_listed(l->run->entries, listed, &row->entry) < 0)
		return 1;
	return view_look(view_of(l), row->entry, NULL, &row->has_size, &row->size);
}

static int list_one(struct listing *l, struct listed *listed, bool value)
{
	cleanup_key struct key key = {0};
	struct row row = {.key = &key};
	int r = entries_listed_key(l->run->entries, listed, &key);
	if (r < 0 || !view_list_name(view_of(l), l->run->entries, &key, row.name))
		return r;
	r = value ? look(l, listed, &row) : 1;
	if (r == 1)
		r = show(l, &row);
	entry_unref(row.entry);
	return r;
}

/* --- all of them --- */

static const char no_list[] = "its keys cannot be listed: name them with -o keys=FILE";

static int list(struct listing *l, struct entries_cursor *cursor, const char **ret_reason)
{
	const bool value = l->is_long || view_needs_value(view_of(l), false);
	struct listed listed;
	int r;
	while ((r = entries_next(cursor, value, NULL, &listed)) == 1) {
		r = list_one(l, &listed, value);
		listed_done(&listed);
		if (r < 0)
			return r;
	}
	if (r == -EOPNOTSUPP || (r == 0 && entries_list_is_of_known(cursor) && !l->run->options->keys_file)) {
		*ret_reason = no_list;
		return -EOPNOTSUPP;
	}
	return r;
}

static int begin(struct run *run, struct listing *ret, const char **ret_reason)
{
	struct place place = {.view_id = VIEW_ROOT};
	int r = run->line.operand_count > 1 ? place_of_path(run->line.operands[1], &place, ret_reason) : 0;
	if (r == 0 && *place.name) {
		*ret_reason = "VIEW is one of raw, frame, arrow, npy, msgpack, json, meta";
		return -ENOTDIR;
	}
	*ret = (struct listing){.run = run, .view_id = place.view_id, .is_long = run->line.own[LONG], .zero = run->line.own[ZERO]};
	return r < 0 ? r : screen_begin(&run->out, &ret->screen);
}

void cli_ls(struct run *run)
{
	struct listing l = {.run = run};
	struct entries_cursor *cursor = NULL;
	const char *reason = NULL, *of = run->line.operand_count > 1 ? run->line.operands[1] : "the root";
	int r = begin(run, &l, &reason);
	if (r == 0)
		r = entries_list(run->entries, &cursor);
	if (r == 0)
		r = list(&l, cursor, &reason);
	if (l.screen.cells)
		screen_end(&l.screen);
	entries_list_end(cursor);
	if (r < 0)
		tell_failure(run, of, r, reason);
}
