#include "line.h"

#include "ckfs/attributes.h"
#include "ckfs/clock.h"

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

int line_begin(struct mount *m, unsigned view_id, struct listed *listed, bool look, struct line *ret, struct entry **ret_entry)
{
	struct line *line = ret;
	*line = (struct line){.type = S_IFREG, .stored = listed->stored, .made = clock_ms()};
	/* No descriptor waits for the next reply. */
	line->stored.value = (struct slice){0};
	*ret_entry = NULL;
	int r = entries_listed_key(m->entries, listed, &line->key);
	if (r < 0)
		return r;
	bool shown = view_list_name(views[view_id], m->entries, &line->key, line->name);
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
	line->has_header = attributes_have_header(entry);
	return r;
}
