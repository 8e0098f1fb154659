/* Listings: streamed from the backend, one reply at a time. */
#include "attr.h"
#include "listing.h"
#include "operations.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

/* The kernel counts a line's seconds from when it reads the reply: at most so many milliseconds after the reply was made. */
#define REPLY_MS 5000

/* A reply that takes longer, in milliseconds, is sent with the lines it has, since other listings wait for the thread. */
#define TURN_MS 100

static struct listing *listing_of(const struct fuse_file_info *fi)
{
	return (struct listing *)(uintptr_t)fi->fh;
}

void ckfs_opendir(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct listing *l = ino < INODE_FIRST ? listing_new(m, ino) : NULL;
	if (!l) {
		reply_error(m, req, ino < INODE_FIRST ? -ENOMEM : -ENOTDIR);
		return;
	}
	handle_add(&m->handles, &l->handle);
	int r = listing_open(l);
	if (r < 0) {
		reply_error(m, req, r);
		handle_free(&m->handles, &l->handle);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)l;
	if (m->reply->open(req, fi) == -ENOENT)
		handle_free(&m->handles, &l->handle);
}

static void end_listing(struct work *work)
{
	struct listing *l = container_of(work, struct listing, end);
	handle_free(&l->m->handles, &l->handle);
}

/* The end of a listing waits for what it still asks: on a thread of its own, after the answer. */
void ckfs_releasedir(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	struct listing *l = listing_of(fi);
	m->reply->err(req, 0);
	l->end.run = end_listing;
	work_submit(m->listers, &l->end);
}

/* So long a line may serve stat: `listed_ttl`, or until the entry expires. */
static double listed_seconds(const struct mount *m, const struct stored *stored)
{
	double seconds = m->options->listed_ttl;
	double left = stored->expires > 0 ? (double)(stored->expires - clock_unix()) : seconds;
	return left < seconds ? (left > 0 ? left : 0) : seconds;
}

/* Appends a line to a READDIRPLUS reply. Its seconds count from `begun`. Bytes it takes; more than `size`: it did not fit. */
static size_t add_line_plus(struct mount *m, unsigned view_id, char *to, size_t size, struct line *line, off_t next, int64_t begun)
{
	struct fuse_entry_param e = entry_param(m, 0);
	struct inode *inode = NULL;
	e.attr = (struct stat){.st_ino = line->number, .st_mode = line->type};
	if (line->has_attr && inodes_enter(m->inodes, view_id, entries_go_by_text(m->entries, &line->key), false, &line->key, &line->stored, line->size, &inode) == 0) {
		e.ino = inode->id;
		inode->has_header = line->has_header;
		e.attr_timeout = FOREVER;
		/* A line that did not fit the reply before may be of any age. */
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
 * A reply that waited for its last lines holds older ones, and the kernel takes all of them for new. So it gets what is left of their seconds: else
 * it would open what was overwritten meanwhile.
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

struct reading {
	struct request request;
	struct listing *listing; /* a reference */
	size_t size;
	off_t off;
	bool plus;
	char *reply;   /* owned */
	size_t length; /* of what was not yet sent */
};

/* Fills the reply. 0; -errno when there is not even one line. */
static int fill(struct reading *reading)
{
	struct mount *m = reading->request.m;
	struct listing *l = reading->listing;
	uint64_t number = (uint64_t)reading->off;
	size_t used = 0;
	int r = 0;
	const int64_t begun = clock_ms();
	for (; used == 0 || clock_ms() - begun < TURN_MS; number++) {
		struct line line;
		r = listing_line(l, &number, reading->plus, &reading->request.cancelled, &line);
		if (r <= 0)
			break;
		const size_t left = reading->size - used;
		const off_t next = (off_t)number + 1;
		size_t n = reading->plus ? add_line_plus(m, (unsigned)(l->directory - INODE_ROOT), reading->reply + used, left, &line, next, begun)
					 : add_line(reading->reply + used, left, &line, next);
		if (n > left) {
			listing_put_back(l, number, &line);
			break;
		}
		line_done(&line);
		used += n;
		stats_add(&m->stats, listed, 1);
	}
	if (reading->plus)
		shorten_lines(reading->reply, used, clock_ms() - begun);
	reading->length = used;
	/* That this reader was cancelled is no error for the next one. */
	if (r < 0 && used > 0 && !reading->request.cancelled)
		listing_owe(l, r);
	/* An empty reply would be the end. */
	return used > 0 ? 0 : r == 1 ? -EINVAL : r;
}

static int ask_lines(struct request *request)
{
	struct reading *reading = container_of(request, struct reading, request);
	struct listing *l = reading->listing;
	reading->reply = malloc(reading->size);
	if (!reading->reply)
		return -ENOMEM;
	int r = listing_enter(l, (uint64_t)reading->off, &request->cancelled);
	if (r < 0)
		return r;
	r = fill(reading);
	listing_leave(l);
	return r;
}

/* Lets go of the inodes in a reply that the kernel did not get. */
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

static void answer_lines(struct request *request, int r)
{
	struct reading *reading = container_of(request, struct reading, request);
	if (r < 0)
		reply_error(request->m, request->req, r);
	else if (request->m->reply->buf(request->req, reading->reply, reading->length) == 0)
		reading->length = 0;
}

static void end_reading(struct request *request)
{
	struct reading *reading = container_of(request, struct reading, request);
	if (reading->plus)
		forget_lines(request->m, reading->reply, reading->length);
	free(reading->reply);
	listing_unref(reading->listing);
}

static const struct request_kind reading_kind = {.size = sizeof(struct reading), .ask = ask_lines, .answer = answer_lines, .end = end_reading};

static void read_directory(struct mount *m, fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct reading r = {.request = {.kind = &reading_kind, .m = m, .req = req, .pool = m->listers, .hears = !m->backend->ops->remote}};
	r.listing = listing_ref(listing_of(fi));
	r.size = size;
	r.off = off;
	r.plus = plus;
	request_start(&r.request);
}

void ckfs_readdir(struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	read_directory(m, req, size, off, fi, false);
}

void ckfs_readdirplus(struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	read_directory(m, req, size, off, fi, true);
}
