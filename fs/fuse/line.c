#include "line.h"

#include "ckfs/clock.h"
#include "ckfs/known_keys.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

void line_done(struct line *line)
{
	key_done(&line->key);
	stored_done(&line->stored);
}

bool directory_is_view(uint64_t directory)
{
	return directory >= INODE_ROOT && directory < INODE_ROOT + VIEW_COUNT;
}

bool line_of_directory(uint64_t directory, uint64_t i, struct line *ret)
{
	const char *name = NULL;
	uint64_t number = directory;
	mode_t type = S_IFDIR;
	if (i == 0)
		name = ".";
	else if (i == 1) {
		name = "..";
		number = INODE_ROOT;
	} else if (directory == INODE_ROOT && i < 2 + VIEW_COUNT - 1) {
		name = views[i - 1]->name;
		number = INODE_ROOT + i - 1;
	} else if (directory == INODE_CONTROL && i == 2) {
		name = "stats";
		number = INODE_STATS;
		type = S_IFREG;
	}
	if (!name)
		return false;
	*ret = (struct line){.number = number, .type = type};
	strcpy(ret->name, name);
	return true;
}

uint64_t lines_of_directory(uint64_t directory)
{
	return directory == INODE_ROOT ? 2 + VIEW_COUNT - 1 : directory == INODE_CONTROL ? 3 : 2;
}

/*
 * The name an entry is listed by: its key where that is known, else the hash. A key that reads like a hash is listed
 * by its own where names may be hashes: it could mean another entry. False when it has none, or -o match hides it.
 */
static bool write_name(const struct mount *m, const struct view *view, const struct key *key, char *ret)
{
	struct key_hash other;
	size_t n = KEY_HEX_SIZE;
	if (key->text && (m->backend->ops->stores_keys || !key_hash_from_hex(key->text, key->length, &other)))
		n = name_from_key(key, ret);
	else
		key_hash_to_hex(&key->hash, ret);
	if (n == 0 || (m->options->match && fnmatch(m->options->match, ret, 0) != 0))
		return false;
	strcpy(ret + n, view->extension);
	return true;
}

/* Whether a view shows every entry, whatever it is. */
static bool shows_all(const struct view *view)
{
	return view->shows_failing || view->size_level == LEVEL_STORED || view->afresh;
}

/*
 * Looks into an entry as far as the listing needs it: whether the view shows it, and how large it is. Nothing is
 * decoded for a size; only what a format directory shows must be told of a legacy frame. 1 shown, 0 not, -errno.
 */
static int look_into(const struct view *view, struct entry *entry, struct line *line)
{
	const char *reason = NULL;
	entry_peel_quick(entry, shows_all(view) ? view->size_level : view->open_level);
	if (!shows_all(view)) {
		int r = entry_reached(entry, LEVEL_DOCUMENT) ? 0 : entry_peel_now(entry, LEVEL_DOCUMENT, false);
		/* Too little of it is here to tell where the document lies, but the frame says which kind it is. */
		if (r == -ENODATA)
			r = entry_assume_document(entry);
		/* Nor does what has no frame, or a legacy or long one, in front. */
		if (r == -ENODATA)
			r = entry_peel_now(entry, LEVEL_DOCUMENT, true);
		/* What cannot be had just now is shown: who opens it is told why. */
		if (r < 0)
			return r == -ENOMEM ? r : 1;
		if (view->status(entry, view->open_level, &reason) < 0 || entry_seal(entry).unfit)
			return 0;
	}
	line->has_attr = !view->unlisted_size && !line->stored.nameless && entry_reached(entry, view->size_level) && view_size(view, entry, &line->size) == 0;
	return 1;
}

bool line_needs_value(const struct view *view, bool plus)
{
	return !shows_all(view) || (plus && !view->unlisted_size);
}

/* Looks into what was listed, and takes it. 1 shown, 0 not, -ENOMEM. */
static int look_into_listed(struct mount *m, const struct view *view, struct listed *listed, struct line *line)
{
	struct entry *entry;
	int r = entries_listed(m->entries, listed, &entry);
	if (r < 0)
		return r == -ENOMEM ? r : 1;
	r = look_into(view, entry, line);
	entry_unref(entry);
	return r;
}

int line_of_entry(struct mount *m, unsigned view_id, struct listed *listed, bool plus, struct line *ret)
{
	const struct view *view = views[view_id];
	struct line *line = ret;
	*line = (struct line){.type = S_IFREG, .stored = listed->stored, .made = clock_ms()};
	/* No descriptor waits for the next reply. */
	line->stored.value = (struct slice){0};
	int r = listed->key.text ? key_copy(&listed->key, &line->key) : known_keys_find(m->known, &listed->key.hash, &line->key);
	/* An entry that cannot be read does not end the listing, nor is it left out of a list that it may belong to: stat tells. */
	if (r == 0 && !listed->unread && line_needs_value(view, plus)) {
		r = look_into_listed(m, view, listed, line);
	} else {
		key_done(&listed->key);
		stored_done(&listed->stored);
		r = r < 0 ? r : 1;
	}
	if (r == 1 && !write_name(m, view, &line->key, line->name))
		r = 0;
	if (r != 1) {
		line_done(line);
		return r;
	}
	line->number = inode_number(view_id, &line->key.hash, &line->stored.version);
	return 1;
}
