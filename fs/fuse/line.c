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
		n = name_from_key(key, view_has_name, ret);
	else
		key_hash_to_hex(&key->hash, ret);
	if (n == 0 || (m->options->match && fnmatch(m->options->match, ret, 0) != 0))
		return false;
	strcpy(ret + n, view->extension);
	return true;
}

bool line_needs_value(const struct view *view, bool plus)
{
	return !view_shows_all(view) || (plus && !view->unlisted_size);
}

/* The key of a line, with its text where that is known, or the store has it. 0, -ENOMEM. */
static int key_of_line(struct mount *m, const struct listed *listed, struct key *ret)
{
	if (listed->key.text) {
		/* What is told once need not be read again. */
		if (!m->backend->ops->stores_keys)
			known_keys_add(m->known, &listed->key);
		return key_copy(&listed->key, ret);
	}
	int r = known_keys_find(m->known, &listed->key.hash, ret);
	if (r == 0 && !ret->text && listed->named && backend_resolve(m->backend, &listed->key.hash, NULL, ret) == 0)
		known_keys_add(m->known, ret);
	return r;
}

int line_begin(struct mount *m, unsigned view_id, struct listed *listed, bool look, struct line *ret, struct entry **ret_entry)
{
	struct line *line = ret;
	*line = (struct line){.type = S_IFREG, .stored = listed->stored, .made = clock_ms()};
	/* No descriptor waits for the next reply. */
	line->stored.value = (struct slice){0};
	*ret_entry = NULL;
	int r = key_of_line(m, listed, &line->key);
	if (r < 0)
		return r;
	bool shown = write_name(m, views[view_id], &line->key, line->name);
	/* An entry that cannot be read does not end the listing, nor is it left out of a list that it may belong to: stat tells. */
	if (!shown || !look || listed->unread || entries_listed(m->entries, listed, ret_entry) < 0) {
		key_done(&listed->key);
		stored_done(&listed->stored);
	}
	if (shown)
		line->number = inode_number(view_id, &line->key.hash, &line->stored.version);
	else
		line_done(line);
	return shown;
}

int line_look(unsigned view_id, struct entry *entry, const atomic_bool *cancel, struct line *line)
{
	int r = view_look(views[view_id], entry, cancel, &line->has_attr, &line->size);
	line->has_attr &= !line->stored.nameless;
	return r;
}
