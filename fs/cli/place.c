/* PATHs, as they would be in a mount. */
#include "command.h"
#include "progress.h"

#include "ckfs/cleanup.h"
#include "ckfs/view_name.h"

#include <errno.h>
#include <string.h>

static const char *without_slashes(const char *path)
{
	while (*path == '/' || (path[0] == '.' && path[1] == '/'))
		path++;
	return path;
}

static unsigned view_of_directory(const char *name, size_t length)
{
	unsigned i = VIEW_ROOT + 1;
	while (i < VIEW_COUNT && (strlen(views[i]->name) != length || memcmp(views[i]->name, name, length) != 0))
		i++;
	return i;
}

int place_of_path(const char *path, struct place *ret, const char **ret_reason)
{
	const char *name = without_slashes(path);
	const size_t first = strcspn(name, "/");
	const unsigned view_id = view_of_directory(name, first);
	*ret = (struct place){.view_id = VIEW_ROOT};
	if (!*path)
		return -ENOENT;
	if (view_id < VIEW_COUNT) {
		ret->view_id = view_id;
		name = without_slashes(name + first);
	}
	if (strcmp(name, ".") == 0)
		name = "";
	if (strchr(name, '/')) {
		*ret_reason = "there is no such directory; in the name of a key a slash is %2F";
		return -ENOENT;
	}
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(ret->name, name);
	return 0;
}

struct finding {
	struct entries *entries;
	bool whole;
};

static int find(void *arg, const struct key *key, const atomic_bool *cancel, struct entry **ret)
{
	const struct finding *f = arg;
	return entries_find(f->entries, key, f->whole, cancel, ret);
}

int find_place(struct run *run, const struct place *place, bool whole, struct entry **ret)
{
	struct finding f = {.entries = run->entries, .whole = whole};
	if (!*place->name)
		return -EISDIR;
	return view_find_name(views[place->view_id], run->entries, place->name, find, &f, NULL, ret);
}

int find_path(struct run *run, const char *path, struct place *ret_place, struct entry **ret, const char **ret_reason)
{
	int r = place_of_path(path, ret_place, ret_reason);
	return r < 0 ? r : find_place(run, ret_place, false, ret);
}

/* What is made afresh tells of the expiry, too, and all else when that cannot be told. */
static int open_entry(struct run *run, const char *path, struct entry *entry, const struct view *view, struct content *ret, const char **ret_reason)
{
	struct progress progress;
	if (view->afresh && entry_expires(entry) == EXPIRES_UNKNOWN)
		entry_ask_expires(entry);
	progress_begin(run->entries, path, entry, &progress);
	int r = view_open(view, entry, NULL, ret, ret_reason);
	progress_end(&progress);
	return r;
}

int open_path(struct run *run, const char *path, const struct view *view, struct content *ret, const char **ret_reason)
{
	struct place place;
	int r = place_of_path(path, &place, ret_reason);
	if (r < 0)
		return r;
	/* If its value changes between its head and its rest, it is found whole. */
	for (bool whole = false;; whole = true) {
		cleanup_entry struct entry *entry = NULL;
		r = find_place(run, &place, whole, &entry);
		if (r == 0)
			r = open_entry(run, path, entry, view ? view : views[place.view_id], ret, ret_reason);
		if (r != -ESTALE || whole)
			return r;
	}
}
