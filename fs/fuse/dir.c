/* Listings: streamed from the backend, one reply at a time. */
#include "pending.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/known_keys.h"
#include "ckfs/name.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* A name with its extension. */
#define LISTED_NAME_MAX (NAME_BYTES_MAX + 16)

/* One line of a listing, ready for a reply. */
struct line {
	char name[LISTED_NAME_MAX];
	uint64_t number;  /* st_ino */
	mode_t type;
	bool has_attr;    /* the entry's size is known: its inode can go along */
	struct key key;
	struct stored stored;
	uint64_t size;
};

/*
 * An open directory. Offsets count lines: the directory's own names first, then the entries. The kernel asks again
 * for offsets inside the last reply, and users seek, so the backend's position of each line is remembered.
 */
struct listing {
	struct handle handle;
	uint64_t directory;
	pthread_mutex_t lock;
	/* protected by lock */
	struct cursor *cursor; /* NULL: not yet opened, or it lists no entries */
	uint64_t at;           /* the offset of the next line */
	uint32_t *positions;   /* of entry line i: where the cursor stood before it */
	size_t position_count, position_capacity;
	bool has_line;         /* `line` is the next one and did not fit the last reply */
	struct line line;
};

static struct listing *listing_of(const struct fuse_file_info *fi)
{
	return (struct listing *)(uintptr_t)fi->fh;
}

static void line_done(struct line *line)
{
	key_done(&line->key);
	stored_done(&line->stored);
}

static bool is_view_directory(uint64_t directory)
{
	return directory >= INODE_ROOT && directory < INODE_ROOT + VIEW_COUNT;
}

static void listing_free(struct handle *handle)
{
	struct listing *l = container_of(handle, struct listing, handle);
	if (l->has_line)
		line_done(&l->line);
	cursor_end(l->cursor);
	free(l->positions);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void ckfs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct listing *l = ino < INODE_FIRST ? calloc(1, sizeof *l) : NULL;
	if (!l) {
		fuse_reply_err(req, ino < INODE_FIRST ? ENOMEM : ENOTDIR);
		return;
	}
	l->handle.free = listing_free;
	l->directory = ino;
	pthread_mutex_init(&l->lock, NULL);
	handle_add(&m->handles, &l->handle);
	int r = is_view_directory(ino) ? backend_list(m->backend, &l->cursor) : 0;
	if (r < 0) {
		reply_error(m, req, r);
		handle_free(&m->handles, &l->handle);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)l;
	if (fuse_reply_open(req, fi) == -ENOENT)
		handle_free(&m->handles, &l->handle);
}

void ckfs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	(void)ino;
	handle_free(&m->handles, &listing_of(fi)->handle);
	fuse_reply_err(req, 0);
}

/* The directory's own names: number i of them, false past the last. */
static bool own_line(const struct listing *l, uint64_t i, struct line *ret)
{
	const char *name = NULL;
	uint64_t number = l->directory;
	mode_t type = S_IFDIR;
	if (i == 0)
		name = ".";
	else if (i == 1) {
		name = "..";
		number = INODE_ROOT;
	} else if (l->directory == INODE_ROOT && i < 2 + VIEW_COUNT - 1) {
		name = views[i - 1]->name;
		number = INODE_ROOT + i - 1;
	} else if (l->directory == INODE_CONTROL && i == 2) {
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

static uint64_t own_count(const struct listing *l)
{
	return l->directory == INODE_ROOT ? 2 + VIEW_COUNT - 1 : l->directory == INODE_CONTROL ? 3 : 2;
}

/*
 * The name an entry is listed by: its key where that is known, else the hash. A key that reads like a hash is listed
 * by its own: the name could mean another entry. False when it has none, or -o match hides it.
 */
static bool write_name(const struct mount *m, const struct view *view, const struct key *key, char *ret)
{
	struct key_hash other;
	size_t n = KEY_HEX_SIZE;
	if (key->text && !key_hash_from_hex(key->text, key->length, &other))
		n = name_from_key(key, ret);
	else
		key_hash_to_hex(&key->hash, ret);
	if (n == 0 || (m->options->match && fnmatch(m->options->match, ret, 0) != 0))
		return false;
	strcpy(ret + n, view->extension);
	return true;
}

/*
 * Looks into an entry as far as the listing needs it: whether the view shows it, and how large it is. Nothing is
 * decoded for a size; only what a format directory shows must be told of a legacy frame. 1 shown, 0 not, -errno.
 */
static int look_into(const struct view *view, struct entry *entry, struct line *line)
{
	const char *reason = NULL;
	enum level known = entry_peel_quick(entry, view->shows_failing ? view->size_level : LEVEL_CHECKED);
	if (known < LEVEL_DOCUMENT && !view->shows_failing && view->size_level >= LEVEL_DOCUMENT) {
		int r = entry_peel_now(entry, LEVEL_DOCUMENT);
		if (r < 0)
			return 0;
		known = LEVEL_DOCUMENT;
	}
	if (!view->shows_failing && view->status(entry, known, &reason) < 0)
		return 0;
	line->has_attr = !view->unlisted_size && known >= view->size_level && view_size(view, entry, &line->size) == 0;
	return 1;
}

/* Whether a line needs more than a name and a version. */
static bool looks_into(const struct view *view, bool plus)
{
	bool decoded = !view->shows_failing && view->size_level >= LEVEL_DOCUMENT && !view->afresh;
	return decoded || (plus && !view->unlisted_size);
}

/* Looks into what was listed, and takes it. 1 shown, 0 not, -ENOMEM. */
static int look_into_listed(struct mount *m, const struct view *view, struct listed *listed, struct line *line)
{
	struct entry *entry;
	int r = entries_listed(m->entries, listed, &entry);
	/* An entry that cannot be read does not end the listing: it is shown where nothing has to be known of it, and stat tells. */
	if (r < 0)
		return r == -ENOMEM ? r : view->shows_failing || view->size_level == LEVEL_STORED;
	r = look_into(view, entry, line);
	entry_unref(entry);
	return r;
}

/* Takes what `listed` holds. 1 and *ret, 0 when it is not shown, -errno. */
static int entry_line(struct mount *m, unsigned view_id, struct listed *listed, bool plus, struct line *ret)
{
	const struct view *view = views[view_id];
	struct line *line = ret;
	*line = (struct line){.type = S_IFREG, .stored = listed->stored};
	/* No descriptor waits for the next reply. */
	line->stored.value = (struct slice){0};
	int r = listed->key.text ? key_copy(&listed->key, &line->key) : known_keys_find(m->known, &listed->key.hash, &line->key);
	if (r == 0 && looks_into(view, plus)) {
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

static int remember_position(struct listing *l, uint64_t index, uint64_t position)
{
	if (index < l->position_count)
		return 0;
	if (l->position_count == l->position_capacity) {
		size_t capacity = l->position_capacity ? l->position_capacity * 2 : 512;
		uint32_t *bigger = realloc(l->positions, capacity * sizeof *bigger);
		if (!bigger)
			return -ENOMEM;
		l->positions = bigger;
		l->position_capacity = capacity;
	}
	l->positions[l->position_count++] = (uint32_t)position;
	return 0;
}

/* The next line. 1, 0 at the end, -errno. */
static int next_line(struct mount *m, struct listing *l, bool plus, struct line *ret)
{
	if (l->has_line) {
		*ret = l->line;
		l->has_line = false;
		return 1;
	}
	if (own_line(l, l->at, ret))
		return 1;
	if (!l->cursor)
		return 0;
	unsigned view_id = (unsigned)(l->directory - INODE_ROOT);
	for (;;) {
		struct listed listed;
		uint64_t before = cursor_position(l->cursor);
		int r = cursor_next(l->cursor, looks_into(views[view_id], plus), &listed);
		if (r <= 0)
			return r;
		r = entry_line(m, view_id, &listed, plus, ret);
		if (r == 1)
			r = remember_position(l, l->at - own_count(l), before) < 0 ? -ENOMEM : 1;
		if (r != 0)
			return r;
	}
}

/* Goes to an offset that was given out before, or to the end of what was. */
static int seek_to(struct listing *l, uint64_t offset)
{
	uint64_t own = own_count(l);
	if (offset == l->at)
		return 0;
	if (l->has_line) {
		line_done(&l->line);
		l->has_line = false;
	}
	uint64_t index = offset > own ? offset - own : 0;
	int r = 0;
	if (index > l->position_count)
		return -EINVAL;
	/* Just behind the last line that was given, the cursor stands already. */
	if (l->cursor && index < l->position_count)
		r = cursor_seek(l->cursor, l->positions[index]);
	l->position_count = index;
	l->at = offset;
	return r;
}

/* What a listing delivers may serve stat for a moment; an expiry ends that earlier. */
static double listed_seconds(const struct mount *m, const struct stored *stored)
{
	double seconds = m->options->listed_ttl;
	double left = stored->expires ? (double)(stored->expires - (int64_t)time(NULL)) : seconds;
	return left < seconds ? (left > 0 ? left : 0) : seconds;
}

/* Appends a line to a READDIRPLUS reply. Bytes it takes; more than `size`: it did not fit. */
static size_t add_line_plus(struct mount *m, fuse_req_t req, unsigned view_id, char *to, size_t size, struct line *line, off_t next)
{
	struct fuse_entry_param e = {.attr = {.st_ino = line->number, .st_mode = line->type}};
	struct inode *inode = NULL;
	if (line->has_attr && inodes_enter(m->inodes, view_id, &line->key, &line->stored, line->size, &inode) == 0) {
		e.ino = inode->id;
		e.generation = 1;
		e.attr_timeout = FOREVER;
		e.entry_timeout = listed_seconds(m, &line->stored);
		attr_of_inode(m, inode, &e.attr);
	}
	size_t n = fuse_add_direntry_plus(req, to, size, line->name, &e, next);
	if (inode && n <= size)
		inode->listed_until = clock_ms() + (int64_t)(e.entry_timeout * 1000) + 1;
	if (inode && n > size)
		inodes_forget(m->inodes, inode->id, 1);
	return n;
}

static size_t add_line(fuse_req_t req, char *to, size_t size, const struct line *line, off_t next)
{
	const struct stat st = {.st_ino = line->number, .st_mode = line->type};
	return fuse_add_direntry(req, to, size, line->name, &st, next);
}

/* Fills a reply. Bytes, or -errno when not even one line could be had. */
static ssize_t fill(struct mount *m, fuse_req_t req, struct listing *l, char *reply, size_t size, bool plus)
{
	size_t used = 0;
	for (;;) {
		struct line line;
		int r = next_line(m, l, plus, &line);
		if (r < 0 && used == 0)
			return r;
		/* An error after some lines comes with the next reply: the cursor stands where it stood. */
		if (r <= 0)
			break;
		off_t next = (off_t)l->at + 1;
		size_t n = plus ? add_line_plus(m, req, (unsigned)(l->directory - INODE_ROOT), reply + used, size - used, &line, next)
				: add_line(req, reply + used, size - used, &line, next);
		if (n > size - used) {
			l->line = line;
			l->has_line = true;
			break;
		}
		line_done(&line);
		used += n;
		l->at++;
		stats_add(&m->stats, listed, 1);
	}
	return (ssize_t)used;
}

static void read_directory(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct mount *m = fuse_req_userdata(req);
	struct listing *l = listing_of(fi);
	cleanup_free char *reply = malloc(size);
	if (!reply) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&l->lock);
	ssize_t n = seek_to(l, (uint64_t)off);
	if (n == 0)
		n = fill(m, req, l, reply, size, plus);
	pthread_mutex_unlock(&l->lock);
	if (n < 0)
		reply_error(m, req, (int)n);
	else
		fuse_reply_buf(req, reply, (size_t)n);
}

void ckfs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	read_directory(req, size, off, fi, false);
}

void ckfs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	read_directory(req, size, off, fi, true);
}
