/* put: stores a value, as what is written to frame/ in a mount. */
#include "command.h"

#include "ckfs/cleanup.h"
#include "ckfs/collected.h"
#include "ckfs/view_name.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes of one read. */
#define PIECE ((size_t)1 << 20)

/* How many bytes standard input has, as far as it tells. */
static uint64_t size_of_input(void)
{
	struct stat st;
	return fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static int collect(struct collected *to, const char **ret_reason)
{
	const uint64_t most = entries_backend(to->entries)->value_max, size = size_of_input();
	cleanup_free char *piece = malloc(PIECE);
	int r = piece ? 1 : -ENOMEM;
	while (r == 1) {
		ssize_t n = read(STDIN_FILENO, piece, PIECE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = -errno;
			*ret_reason = "standard input cannot be read";
		} else if (most && to->filled + (uint64_t)n > most) {
			r = -EFBIG;
			*ret_reason = "the store takes no such value";
		} else {
			r = n > 0 ? collected_put(to, piece, (size_t)n, to->filled, size > to->filled ? size : to->filled + (uint64_t)n) : 0;
			r = r == 0 && n > 0 ? 1 : r;
		}
	}
	return r;
}

/* The key of a name, of an entry that there is or of none, and which of the two. */
static int find_key(struct run *run, const struct place *place, struct key *ret, bool *ret_there, const char **ret_reason)
{
	struct place at = {.view_id = VIEW_FRAME};
	cleanup_entry struct entry *entry = NULL;
	strcpy(at.name, place->name);
	int r = find_place(run, &at, false, &entry);
	*ret_there = r == 0;
	if (r == -ENOENT)
		r = view_key_to_create(run->entries, place->name, ret);
	else if (r == 0)
		r = key_copy(entry_key(entry), ret);
	if (r == -EPERM)
		*ret_reason = "the name is a hash, and tells no key";
	return r;
}

static int store(struct run *run, const struct key *key, bool there, struct collected *collected, const char **ret_reason)
{
	cleanup_slice struct slice value = {0};
	const struct lifetime lifetime = {.ttl = run->options->ttl, .guess = there ? MOST_LIKELY_THERE : MOST_LIKELY_NEW};
	int r = collected_value(collected, collected->filled, &value);
	if (r == 0 && !run->options->unchecked)
		r = entries_judge(run->entries, key, &value, NULL, ret_reason);
	if (r < 0)
		return r;
	r = entries_put(run->entries, key, &value, &lifetime, NULL, ret_reason);
	if (r == -ENOSPC)
		*ret_reason = "the store is full, or at a limit of the SDK";
	return r;
}

static int put(struct run *run, const char *path, const char **ret_reason)
{
	cleanup_with(collected_drop) struct collected collected;
	cleanup_key struct key key = {0};
	struct place place;
	bool there = false;
	collected_init(run->entries, &collected);
	int r = place_of_path(path, &place, ret_reason);
	if (r == 0 && place.view_id != VIEW_ROOT && place.view_id != VIEW_FRAME) {
		*ret_reason = "values are stored in frame/";
		return -EROFS;
	}
	if (r == 0)
		r = find_key(run, &place, &key, &there, ret_reason);
	if (r == 0)
		r = collect(&collected, ret_reason);
	return r < 0 ? r : store(run, &key, there, &collected, ret_reason);
}

void cli_put(struct run *run)
{
	const char *path = run->line.operands[1], *reason = NULL;
	int r = put(run, path, &reason);
	if (r < 0)
		tell_failure(run, path, r, reason);
}
