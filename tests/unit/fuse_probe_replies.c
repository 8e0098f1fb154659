/* What stands for libfuse in fuse-probe: requests, their replies, interrupts. */
#include "fuse_probe.h"

#include "ckfs/cleanup.h"

#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TICK_NS 5000000

pthread_mutex_t probe_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t probe_changed = PTHREAD_COND_INITIALIZER;
static bool faulty;

void probe_tick(void)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += TICK_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&probe_changed, &probe_lock, &until);
}

void probe_fault(const struct fuse_req *req, const char *what)
{
	fprintf(stderr, "fuse-probe: \"%s\": %s\n", req->command, what);
	faulty = true;
}

bool probe_is_faulty(void)
{
	return faulty;
}

/* --- replies --- */

/* The request whose interrupt this thread handles. */
static _Thread_local const struct fuse_req *interrupted;

/* Begins a reply: the JSON is written to it, and replied() ends it. */
static FILE *reply_to(struct fuse_req *req)
{
	pthread_mutex_lock(&probe_lock);
	if (req->replies++ > 0)
		probe_fault(req, "a second reply");
	if (req->on_interrupt && interrupted != req)
		probe_fault(req, "answered while it hears of interrupts");
	free(steal(req->reply));
	return open_memstream(&req->reply, &req->reply_length);
}

static int replied(struct fuse_req *req, FILE *reply)
{
	fclose(reply);
	pthread_cond_broadcast(&probe_changed);
	pthread_mutex_unlock(&probe_lock);
	return req->gone ? -ENOENT : 0;
}

static int on_err(fuse_req_t req, int error)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"error\": \"%s\"}", error ? strerrorname_np(error) : "0");
	return replied(req, to);
}

static void on_none(fuse_req_t req)
{
	FILE *to = reply_to(req);
	fputs("{}", to);
	replied(req, to);
}

static int on_entry(fuse_req_t req, const struct fuse_entry_param *e)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"ino\": %llu, \"size\": %lld, \"entry_timeout\": %g}", (unsigned long long)e->ino, (long long)e->attr.st_size, e->entry_timeout);
	return replied(req, to);
}

static int on_attr(fuse_req_t req, const struct stat *attr, double seconds)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"size\": %lld, \"attr_timeout\": %g}", (long long)attr->st_size, seconds);
	return replied(req, to);
}

static int on_open(fuse_req_t req, const struct fuse_file_info *file)
{
	FILE *to = reply_to(req);
	req->file = *file;
	fputs("{\"open\": true}", to);
	return replied(req, to);
}

static int on_create(fuse_req_t req, const struct fuse_entry_param *e, const struct fuse_file_info *file)
{
	FILE *to = reply_to(req);
	req->file = *file;
	fprintf(to, "{\"ino\": %llu, \"open\": true}", (unsigned long long)e->ino);
	return replied(req, to);
}

static int on_write(fuse_req_t req, size_t n)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"written\": %zu}", n);
	return replied(req, to);
}

/* The lines of a READDIRPLUS, or the bytes of any other. */
static int on_buf(fuse_req_t req, const char *bytes, size_t n)
{
	FILE *to = reply_to(req);
	if (strncmp(req->command, "readdirplus ", 12) != 0) {
		fputs("{\"hex\": \"", to);
		for (size_t i = 0; i < n; i++)
			fprintf(to, "%02x", (unsigned char)bytes[i]);
		fputs("\"}", to);
		return replied(req, to);
	}
	fputs("{\"lines\": {", to);
	for (size_t at = 0; at < n;) {
		struct fuse_direntplus line;
		memcpy(&line, bytes + at, sizeof line);
		fprintf(to, "%s\"%.*s\": %llu", at ? ", " : "", (int)line.dirent.namelen, bytes + at + FUSE_NAME_OFFSET_DIRENTPLUS,
			(unsigned long long)line.entry_out.nodeid);
		at += FUSE_DIRENTPLUS_SIZE(&line);
	}
	fputs("}}", to);
	return replied(req, to);
}

static int on_xattr(fuse_req_t req, size_t n)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"length\": %zu}", n);
	return replied(req, to);
}

static int on_statfs(fuse_req_t req, const struct statvfs *st)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"blocks\": %llu}", (unsigned long long)st->f_blocks);
	return replied(req, to);
}

/* req->lock is held. */
static void handle_interrupt(struct fuse_req *req)
{
	interrupted = req;
	if (req->on_interrupt)
		req->on_interrupt(req, req->interrupt_data);
	interrupted = NULL;
}

static void set_on_interrupt(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	pthread_mutex_lock(&req->lock);
	pthread_mutex_lock(&probe_lock);
	if (req->replies > 0)
		probe_fault(req, "touched after its reply");
	pthread_mutex_unlock(&probe_lock);
	req->on_interrupt = func;
	req->interrupt_data = data;
	if (req->interrupted)
		handle_interrupt(req);
	pthread_mutex_unlock(&req->lock);
}

void probe_interrupt(struct fuse_req *req)
{
	pthread_mutex_lock(&req->lock);
	pthread_mutex_lock(&probe_lock);
	bool answered = req->replies > 0;
	pthread_mutex_unlock(&probe_lock);
	/* libfuse does not find one that was answered. */
	if (!answered) {
		req->interrupted = true;
		handle_interrupt(req);
	}
	pthread_mutex_unlock(&req->lock);
}

/* Nobody that is known. */
static pid_t no_thread(fuse_req_t req)
{
	(void)req;
	return 0;
}

static int no_store(struct fuse_session *session, fuse_ino_t ino, off_t offset, struct fuse_bufvec *pages, enum fuse_buf_copy_flags flags)
{
	(void)session;
	(void)ino;
	(void)offset;
	(void)pages;
	(void)flags;
	return 0;
}

static atomic_uint_least64_t outdated;

static int note_outdated(struct fuse_session *session, fuse_ino_t ino, off_t offset, off_t n)
{
	(void)session;
	(void)n;
	if (offset < 0)
		outdated = ino;
	return 0;
}

uint64_t probe_outdated(void)
{
	return outdated;
}

const struct reply_ops probe_replies = {
	.err = on_err,
	.none = on_none,
	.entry = on_entry,
	.attr = on_attr,
	.open = on_open,
	.buf = on_buf,
	.xattr = on_xattr,
	.statfs = on_statfs,
	.thread = no_thread,
	.on_interrupt = set_on_interrupt,
	.create = on_create,
	.write = on_write,
	.store = no_store,
	.inval = note_outdated,
};
