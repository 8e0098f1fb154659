/* WRITE and READ of what is being written: at once, or on another thread where somebody else is at the draft, or much has to be copied first. */
#include "buffers.h"
#include "file.h"
#include "operations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct draft_io {
	struct request request;
	struct draft *draft; /* a reference */
	uint64_t at;
	size_t n;
	uint64_t owner; /* WRITE: of the descriptor */
	void *bytes;    /* memory of its own: to be written, or n bytes for what is read */
};

static int write_bytes(struct draft_io *io, const void *bytes, const atomic_bool *cancel)
{
	int r = draft_write(io->draft, bytes, io->n, io->at, cancel);
	if (r != -EINTR)
		io->draft->writer = io->owner;
	return r;
}

/* Bytes, or -errno. */
static int read_bytes(const struct draft_io *io, void *to)
{
	uint64_t length;
	struct timespec ignored;
	draft_show(io->draft, &length, &ignored);
	const uint64_t left = io->at < length ? length - io->at : 0;
	const size_t n = io->n < left ? io->n : (size_t)left;
	int r = draft_read(io->draft, io->at, to, n);
	return r < 0 ? r : (int)n;
}

/* --- on another thread --- */

static int ask_to_write(struct request *request)
{
	struct draft_io *io = container_of(request, struct draft_io, request);
	int r = draft_enter(io->draft, &request->cancelled);
	if (r < 0)
		return r;
	r = write_bytes(io, io->bytes, &request->cancelled);
	draft_leave(io->draft);
	return r;
}

static int ask_to_read(struct request *request)
{
	struct draft_io *io = container_of(request, struct draft_io, request);
	int r = draft_enter(io->draft, &request->cancelled);
	if (r < 0)
		return r;
	r = read_bytes(io, io->bytes);
	draft_leave(io->draft);
	io->n = r < 0 ? 0 : (size_t)r;
	return r < 0 ? r : 0;
}

static void answer_written(struct request *request, int r)
{
	const struct draft_io *io = container_of(request, struct draft_io, request);
	if (r < 0)
		request->m->reply->err(request->req, -r);
	else
		request->m->reply->write(request->req, io->n);
}

static void answer_read(struct request *request, int r)
{
	const struct draft_io *io = container_of(request, struct draft_io, request);
	if (r < 0)
		reply_error(request->m, request->req, r);
	else
		request->m->reply->buf(request->req, io->bytes, io->n);
}

static void end_io(struct request *request)
{
	struct draft_io *io = container_of(request, struct draft_io, request);
	free(io->bytes);
	draft_unref(io->draft);
}

static const struct request_kind write_kind = {.size = sizeof(struct draft_io), .ask = ask_to_write, .answer = answer_written, .end = end_io};
static const struct request_kind read_kind = {.size = sizeof(struct draft_io), .ask = ask_to_read, .answer = answer_read, .end = end_io};

/* `bytes`: to be written; NULL: to read. */
static void hand_over(struct draft_io *io, const struct request_kind *kind, const void *bytes)
{
	struct mount *m = io->request.m;
	io->request.kind = kind;
	io->request.pool = m->storers;
	io->request.hears = true;
	io->bytes = malloc(io->n ? io->n : 1);
	if (!io->bytes) {
		reply_error(m, io->request.req, -ENOMEM);
		return;
	}
	if (bytes)
		memcpy(io->bytes, bytes, io->n);
	draft_ref(io->draft);
	request_start(&io->request);
}

/* --- */

void ckfs_write(struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct draft_io io = {.request = {.m = m, .req = req}, .draft = file_of(fi)->draft, .at = (uint64_t)off, .n = size, .owner = fi->lock_owner};
	(void)ino;
	if (!io.draft) {
		m->reply->err(req, EBADF);
		return;
	}
	bool is_at_it = draft_try_to_enter(io.draft);
	if (is_at_it && draft_is_far(io.draft, io.at)) {
		draft_leave(io.draft);
		is_at_it = false;
	}
	if (!is_at_it) {
		hand_over(&io, &write_kind, bytes);
		return;
	}
	int r = write_bytes(&io, bytes, NULL);
	draft_leave(io.draft);
	if (r < 0)
		m->reply->err(req, -r);
	else
		m->reply->write(req, size);
}

void read_draft(struct mount *m, fuse_req_t req, size_t size, off_t off, const struct file *file)
{
	struct draft_io io = {.request = {.m = m, .req = req}, .draft = file->draft, .at = (uint64_t)off, .n = size < BUFFER_SIZE ? size : BUFFER_SIZE};
	if (!draft_try_to_enter(io.draft)) {
		hand_over(&io, &read_kind, NULL);
		return;
	}
	void *buffer = buffer_get();
	int r = buffer ? read_bytes(&io, buffer) : -ENOMEM;
	draft_leave(io.draft);
	if (r < 0)
		reply_error(m, req, r);
	else
		m->reply->buf(req, buffer, (size_t)r);
	if (buffer)
		buffer_put(buffer);
}
