/* cat, stat, rm: what is done to each PATH. */
#include "command.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <string.h>

/* Of the line that says why. */
static const char not_of_entries[] = "entries are removed from the root, raw/ or frame/";

static int cat(struct run *run, const char *path, const char **ret_reason)
{
	cleanup_content struct content content = {0};
	int r = open_path(run, path, NULL, &content, ret_reason);
	return r < 0 ? r : output_send(&run->out, &content);
}

/* meta/ in one line: the header of a frame is in there as it is stored, and may have lines of its own. */
static int stat_(struct run *run, const char *path, const char **ret_reason)
{
	cleanup_content struct content content = {0};
	int r = open_path(run, path, views[VIEW_META], &content, ret_reason);
	if (r < 0)
		return r;
	const size_t n = (size_t)content_size(&content);
	cleanup_free char *text = malloc(n + 1);
	r = text ? content_read(&content, 0, text, n) : -ENOMEM;
	if (r < 0)
		return r;
	for (size_t i = 0; i + 1 < n; i++)
		if (text[i] == '\n' || text[i] == '\r')
			text[i] = ' ';
	output_put(&run->out, text, n);
	output_flush(&run->out);
	return 0;
}

static int rm(struct run *run, const char *path, const char **ret_reason)
{
	cleanup_entry struct entry *entry = NULL;
	struct place place;
	int r = find_path(run, path, &place, &entry, ret_reason);
	if (r < 0)
		return r;
	if (!view_is_of_entries(place.view_id)) {
		*ret_reason = not_of_entries;
		return -EPERM;
	}
	r = entries_remove(entry, NULL);
	return r == -ENOENT ? 0 : r;
}

static void each(struct run *run, int (*act)(struct run *run, const char *path, const char **ret_reason))
{
	for (int i = 1; i < run->line.operand_count; i++) {
		const char *path = run->line.operands[i], *reason = NULL;
		int r = act(run, path, &reason);
		if (r < 0)
			tell_failure(run, path, r, reason);
	}
}

void cli_cat(struct run *run)
{
	each(run, cat);
}

void cli_stat(struct run *run)
{
	each(run, stat_);
}

void cli_rm(struct run *run)
{
	each(run, rm);
}
