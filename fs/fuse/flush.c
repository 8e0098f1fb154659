/* FLUSH, FSYNC, and RELEASE of what was written: when a draft is stored. */
#include "file.h"
#include "operations.h"

#include "ckfs/spool.h"

#include <errno.h>

struct storing {
	struct request request;
	struct draft *draft; /* a reference */
	struct file *file;   /* RELEASE: it is closed then */
};

static int ask_to_store(struct request *request)
{
	const struct storing *s = container_of(request, struct storing, request);
	return draft_store(s->draft, &request->cancelled);
}

static void answer_stored(struct request *request, int r)
{
	if (r < 0)
		stats_count_error(&request->m->stats, -r);
	request->m->reply->err(request->req, -r);
}

static void end_storing(struct request *request)
{
	draft_unref(container_of(request, struct storing, request)->draft);
}

static const struct request_kind store_kind = {.size = sizeof(struct storing), .ask = ask_to_store, .answer = answer_stored, .end = end_storing};

/*
 * Storing may take long with any backend. What is small and goes to a server takes one answer, and is waited for as others are: to hand it over to
 * another thread would take as long. What was interrupted before it was stored is not.
 */
static void start_storing(struct mount *m, fuse_req_t req, struct draft *draft)
{
	struct storing s = {.request = {.kind = &store_kind, .m = m, .req = req, .hears = true}, .draft = draft_ref(draft)};
	uint64_t length;
	struct timespec ignored;
	draft->asked = true;
	draft_show(draft, &length, &ignored);
	if (!m->backend->ops->remote || length > SPOOL_SMALL)
		s.request.pool = m->storers;
	request_start(&s.request);
}

/*
 * Whether it is not the writer who closes it, but a process that has it from the writer, as a program that it has started. The writer is told what
 * comes of it, when it closes it in turn; should it never do, the last one who has it open stores it.
 */
static bool is_left_to_writer(struct draft *draft, uint64_t closing)
{
	uint64_t writer = closing;
	return !atomic_compare_exchange_strong(&draft->writer, &writer, 0) && writer != 0;
}

void ckfs_flush(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct draft *draft = file_of(fi)->draft;
	(void)ino;
	if (draft && !is_left_to_writer(draft, fi->lock_owner) && draft->changed)
		start_storing(m, req, draft);
	else
		m->reply->err(req, 0);
}

void ckfs_fsync(struct mount *m, fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct draft *draft = file_of(fi)->draft;
	(void)ino;
	(void)datasync;
	if (draft && draft->changed)
		start_storing(m, req, draft);
	else
		m->reply->err(req, 0);
}

/* The last one has closed it. Nobody hears any more what comes of it: the log has it. */
static void finish(struct draft *draft)
{
	draft_log(draft);
	draft_drop(draft);
}

static bool is_settled(const struct draft *draft)
{
	return !draft->changed || draft->asked;
}

static int ask_to_store_last(struct request *request)
{
	struct draft *draft = container_of(request, struct storing, request)->draft;
	if (draft_enter(draft, &request->cancelled) < 0)
		return 0;
	draft_leave(draft);
	if (!is_settled(draft))
		draft_store(draft, &request->cancelled);
	finish(draft);
	return 0;
}

static void end_release(struct request *request)
{
	struct storing *s = container_of(request, struct storing, request);
	draft_unref(s->draft);
	file_close(request->m, s->file);
}

static const struct request_kind release_kind = {.size = sizeof(struct storing), .ask = ask_to_store_last, .answer = answer_stored, .end = end_release};

void release_draft(struct mount *m, fuse_req_t req, struct file *file)
{
	struct draft *draft = file->draft;
	if (!draft_close(draft)) {
		file_close(m, file);
		m->reply->err(req, 0);
		return;
	}
	/* Who sets the length by a path (/proc/PID/fd) has no handle, and may be at it still. From now on there is none to come. */
	const bool is_free = draft_try_to_enter(draft);
	if (is_free)
		draft_leave(draft);
	if (is_free && is_settled(draft)) {
		finish(draft);
		file_close(m, file);
		m->reply->err(req, 0);
		return;
	}
	struct storing s = {.request = {.kind = &release_kind, .m = m, .req = req, .pool = m->storers, .hears = true}, .draft = draft_ref(draft), .file = file};
	request_start(&s.request);
}
