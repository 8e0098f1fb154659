/* Listings: streamed from the backend, one reply at a time. */
#include "errand.h"
#include "line.h"
#include "pending.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

/* The kernel counts a line's seconds from when it reads the reply. That is no later than so many milliseconds after the reply was made. */
#define REPLY_MS 5000

/*
 * An open directory. Offsets count lines: the directory's own names first, then the entries. The kernel asks again
 * for offsets inside the last reply, and users seek, so the backend's position of each line is remembered.
 */
struct listing {
	struct handle handle;
	uint64_t directory;
	atomic_uint refs; /* the open handle, and each request that reads, also when its caller has gone */
	pthread_mutex_t lock;
	/* protected by lock */
	struct cursor *cursor; /* NULL: not yet opened, or it lists no entries */
	uint64_t at;           /* the offset of the next line */
	bool astray;           /* the cursor does not stand before that line */
	int owed;              /* what has ended the last reply after some lines: the next one tells */
	uint32_t *positions;   /* of entry line i: where the cursor stood before it; also of the next line, once it was asked for */
	size_t position_count, position_capacity;
	bool has_line;         /* `line` is the next one and did not fit the last reply */
	struct line line;
};

static struct listing *listing_of(const struct fuse_file_info *fi)
{
	return (struct listing *)(uintptr_t)fi->fh;
}

static struct listing *listing_ref(struct listing *l)
{
	atomic_fetch_add(&l->refs, 1);
	return l;
}

static void listing_unref(struct listing *l)
{
	if (atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	if (l->has_line)
		line_done(&l->line);
	cursor_end(l->cursor);
	free(l->positions);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void listing_free(struct handle *handle)
{
	listing_unref(container_of(handle, struct listing, handle));
}

/* Begins to list the entries. */
static int open_cursor(struct mount *m, struct listing *l)
{
	return directory_is_view(l->directory) && !l->cursor ? backend_list(m->backend, &l->cursor) : 0;
}

void ckfs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct listing *l = ino < INODE_FIRST ? calloc(1, sizeof *l) : NULL;
	if (!l) {
		reply_error(m, req, ino < INODE_FIRST ? -ENOMEM : -ENOTDIR);
		return;
	}
	l->handle.free = listing_free;
	l->directory = ino;
	l->refs = 1;
	pthread_mutex_init(&l->lock, NULL);
	handle_add(&m->handles, &l->handle);
	/* Nobody waits for a remote backend here: the first read does. */
	int r = m->waiters ? 0 : open_cursor(m, l);
	if (r < 0) {
		reply_error(m, req, r);
		handle_free(&m->handles, &l->handle);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)l;
	if (fuse_reply_open(req, fi) == -ENOENT)
		handle_free(&m->handles, &l->handle);
}

struct releasing {
	struct errand errand;
	struct listing *listing;
};

/* What is still being asked for the listing has to come to its end first. */
static int end_listing(struct errand *errand)
{
	handle_free(&errand->m->handles, &container_of(errand, struct releasing, errand)->listing->handle);
	return 0;
}

static void finish_release(struct errand *errand, int r)
{
	fuse_reply_err(errand->req, -r);
}

void ckfs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	struct releasing r = {.errand = {.m = fuse_req_userdata(req), .req = req, .ask = end_listing, .finish = finish_release}};
	r.listing = listing_of(fi);
	errand_start(&r.errand, sizeof r);
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
	if (line_of_directory(l->directory, l->at, ret))
		return 1;
	if (!l->cursor)
		return 0;
	unsigned view_id = (unsigned)(l->directory - INODE_ROOT);
	for (;;) {
		struct listed listed;
		int r = remember_position(l, l->at - lines_of_directory(l->directory), cursor_position(l->cursor));
		if (r == 0)
			r = cursor_next(l->cursor, line_needs_value(views[view_id], plus), &listed);
		if (r <= 0)
			return r;
		r = line_of_entry(m, view_id, &listed, plus, ret);
		/* Whoever reads on gets this name, or the error again. */
		l->astray = r < 0;
		if (r != 0)
			return r;
	}
}

/* Goes to an offset that was given out before, or to the end of what was. */
static int seek_to(struct listing *l, uint64_t offset)
{
	uint64_t own = lines_of_directory(l->directory);
	int r = offset == l->at ? l->owed : 0;
	l->owed = 0;
	if (r < 0 || (offset == l->at && !l->astray))
		return r;
	if (l->has_line) {
		line_done(&l->line);
		l->has_line = false;
	}
	uint64_t index = offset > own ? offset - own : 0;
	if (index > 0 && index >= l->position_count)
		return -EINVAL;
	/* Before the first entry, of which none was asked for, the cursor stands already. */
	if (index < l->position_count) {
		r = cursor_seek(l->cursor, l->positions[index]);
		l->position_count = index + 1;
	}
	l->at = offset;
	l->astray = r < 0;
	return r;
}

/* What a listing delivers may serve stat for a moment; an expiry ends that earlier. */
static double listed_seconds(const struct mount *m, const struct stored *stored)
{
	double seconds = m->options->listed_ttl;
	double left = stored->expires ? (double)(stored->expires - clock_unix()) : seconds;
	return left < seconds ? (left > 0 ? left : 0) : seconds;
}

/* Appends a line to a READDIRPLUS reply. Its seconds count from `begun`. Bytes it takes; more than `size`: it did not fit. */
static size_t add_line_plus(struct mount *m, unsigned view_id, char *to, size_t size, struct line *line, off_t next, int64_t begun)
{
	struct fuse_entry_param e = entry_param(m, 0);
	struct inode *inode = NULL;
	e.attr = (struct stat){.st_ino = line->number, .st_mode = line->type};
	if (line->has_attr && inodes_enter(m->inodes, view_id, &line->key, &line->stored, line->size, &inode) == 0) {
		e.ino = inode->id;
		e.attr_timeout = FOREVER;
		/* One that did not fit the reply before may be as old as the reader likes. */
		double seconds = listed_seconds(m, &line->stored) + (double)(line->made - begun) / 1000;
		e.entry_timeout = seconds > 0 ? seconds : 0;
		attr_of_inode(m, inode, &e.attr);
	}
	size_t n = fuse_add_direntry_plus(NULL, to, size, line->name, &e, next);
	if (inode && n <= size)
		inode->listed_until = begun + (int64_t)(e.entry_timeout * 1000) + REPLY_MS;
	if (inode && n > size)
		inodes_forget(m->inodes, inode->id, 1);
	return n;
}

static size_t add_line(char *to, size_t size, const struct line *line, off_t next)
{
	const struct stat st = {.st_ino = line->number, .st_mode = line->type};
	return fuse_add_direntry(NULL, to, size, line->name, &st, next);
}

/*
 * A reply that waited for its last lines holds older ones. To the kernel all of them are new: it gets what is left of their seconds, or it
 * would open what was overwritten in the meantime.
 */
static void shorten_lines(char *reply, size_t length, int64_t ms)
{
	for (size_t at = 0; at < length;) {
		struct fuse_direntplus line;
		memcpy(&line, reply + at, sizeof line);
		int64_t left = (int64_t)line.entry_out.entry_valid * 1000 + line.entry_out.entry_valid_nsec / 1000000 - ms;
		left = left > 0 ? left : 0;
		line.entry_out.entry_valid = (uint64_t)(left / 1000);
		line.entry_out.entry_valid_nsec = (uint32_t)(left % 1000) * 1000000;
		memcpy(reply + at, &line, sizeof line);
		at += FUSE_DIRENTPLUS_SIZE(&line);
	}
}

/* Fills a reply. Bytes, or -errno when not even one line could be had. */
static ssize_t fill(struct mount *m, struct listing *l, char *reply, size_t size, bool plus)
{
	size_t used = 0;
	const int64_t begun = clock_ms();
	for (;;) {
		struct line line;
		int r = next_line(m, l, plus, &line);
		if (r < 0 && used == 0)
			return r;
		if (r < 0)
			l->owed = r;
		if (r <= 0)
			break;
		off_t next = (off_t)l->at + 1;
		size_t n = plus ? add_line_plus(m, (unsigned)(l->directory - INODE_ROOT), reply + used, size - used, &line, next, begun)
				: add_line(reply + used, size - used, &line, next);
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
	if (plus)
		shorten_lines(reply, used, clock_ms() - begun);
	return (ssize_t)used;
}

struct reading {
	struct errand errand;
	struct listing *listing; /* a reference */
	size_t size;
	off_t off;
	bool plus;
	char *reply;   /* owned */
	size_t length; /* of what was not yet sent */
};

static int ask_lines(struct errand *errand)
{
	struct reading *reading = container_of(errand, struct reading, errand);
	struct listing *l = reading->listing;
	reading->reply = malloc(reading->size);
	if (!reading->reply)
		return -ENOMEM;
	pthread_mutex_lock(&l->lock);
	ssize_t n = open_cursor(errand->m, l);
	if (n == 0)
		n = seek_to(l, (uint64_t)reading->off);
	if (n == 0)
		n = fill(errand->m, l, reading->reply, reading->size, reading->plus);
	pthread_mutex_unlock(&l->lock);
	reading->length = n < 0 ? 0 : (size_t)n;
	return n < 0 ? (int)n : 0;
}

/* Inodes that were entered for a reply which the kernel never got. */
static void forget_lines(struct mount *m, const char *reply, size_t length)
{
	for (size_t at = 0; at < length;) {
		struct fuse_direntplus line;
		memcpy(&line, reply + at, sizeof line);
		if (line.entry_out.nodeid)
			inodes_forget(m->inodes, line.entry_out.nodeid, 1);
		at += FUSE_DIRENTPLUS_SIZE(&line);
	}
}

static void finish_lines(struct errand *errand, int r)
{
	struct reading *reading = container_of(errand, struct reading, errand);
	if (r < 0)
		reply_error(errand->m, errand->req, r);
	else if (fuse_reply_buf(errand->req, reading->reply, reading->length) == 0)
		reading->length = 0;
}

static void reading_done(struct errand *errand)
{
	struct reading *reading = container_of(errand, struct reading, errand);
	if (reading->plus)
		forget_lines(errand->m, reading->reply, reading->length);
	free(reading->reply);
	listing_unref(reading->listing);
}

static void read_directory(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct mount *m = fuse_req_userdata(req);
	struct reading r = {.errand = {.m = m, .req = req, .ask = ask_lines, .finish = finish_lines, .done = reading_done}};
	r.listing = listing_ref(listing_of(fi));
	r.size = size;
	r.off = off;
	r.plus = plus;
	errand_start(&r.errand, sizeof r);
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
