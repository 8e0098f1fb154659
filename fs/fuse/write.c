/*
 * Writing values: CREATE, OPEN to write. Only what is in frame/ is written, into a draft (draft.h; draft_io.c), which is stored at the first close or
 * fsync (flush.c).
 *
 * The kernel takes what is written for what an inode holds. So a draft has an inode that nobody else has: of its creation, or of a lookup of its own,
 * which the kernel makes when the open of any other inode is answered with ESTALE (retries.h). Reads and writes do not go through the page cache.
 */
#include "attr.h"
#include "file.h"
#include "forget.h"
#include "operations.h"
#include "write.h"

#include "ckfs/cleanup.h"
#include "ckfs/log.h"
#include "ckfs/name.h"
#include "ckfs/view_name.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <syslog.h>

int refuse_to_write(struct mount *m, unsigned view_id)
{
	if (m->options->write && !(atomic_fetch_or(&m->told_views, 1u << view_id) & 1u << view_id))
		log_line(LOG_WARNING, "%s cannot be written to: values are stored in frame/ (told once)",
			view_id == VIEW_ROOT ? "the root" : view_id < VIEW_COUNT ? views[view_id]->name : NAME_OF_CONTROL);
	return -EROFS;
}

/* An inode that others may have cannot be written to, and no lookup leads whoever opened no name to another one. */
static int refuse_without_name(struct mount *m)
{
	if (!atomic_exchange(&m->told_nameless, true))
		log_line(LOG_WARNING, "frame/: to be written a file has to be opened by its name, not by /proc/PID/fd or as a mountpoint (told once)");
	return -EPERM;
}

/* Whether a file of a view can be opened with these flags for writing. 0; -EROFS; -EPERM. */
static int check_flags(struct mount *m, unsigned view_id, int flags)
{
	if (!m->options->write || view_id != VIEW_FRAME)
		return refuse_to_write(m, view_id);
	/* Whoever appends does not know what to. */
	return flags & O_APPEND ? -EPERM : 0;
}

/* --- files --- */

static void set_flags(struct fuse_file_info *fi)
{
	fi->direct_io = true;
	fi->keep_cache = false;
}

/* What comes of an open. Takes one of the draft's handles, which is gone when the open fails. */
static void reply_open(struct mount *m, fuse_req_t req, struct draft *draft, struct fuse_file_info *fi)
{
	struct file *file = file_new(m, draft, fi);
	if (!file) {
		draft_close(draft);
		reply_error(m, req, -ENOMEM);
		return;
	}
	set_flags(fi);
	if (m->reply->open(req, fi) != -ENOENT)
		return;
	draft_close(draft);
	file_close(m, file);
}

/* --- OPEN --- */

struct opening {
	struct request request;
	struct inode *inode; /* held */
	struct fuse_file_info fi;
};

/* What is written over in part begins as it is. */
static int ask_newest(struct request *request)
{
	struct opening *o = container_of(request, struct opening, request);
	struct mount *m = request->m;
	cleanup_key struct key key = {0};
	int r = o->fi.flags & O_TRUNC ? -ENOENT : inode_key(m->inodes, o->inode, &key);
	if (r == 0)
		r = entries_find(m->entries, &key, true, &request->cancelled, &request->entry);
	return r == -ENOENT ? 0 : r;
}

/* A draft of an inode, with one handle. */
static int begin_draft(struct mount *m, struct inode *inode, bool created, struct entry *entry, bool empty, struct draft **ret)
{
	cleanup_key struct key key = {0};
	cleanup_draft struct draft *draft = NULL;
	struct draft *none = NULL;
	int r = inode_key(m->inodes, inode, &key);
	if (r == 0)
		r = draft_new(m, &key, &draft);
	if (r < 0)
		return r;
	draft->handles = 1;
	draft->changed = empty;
	draft->lifetime.guess = created ? MOST_LIKELY_NEW : MOST_LIKELY_THERE;
	if (entry)
		draft_begin_as(draft, &entry_stored(entry)->value);
	/* Somebody else may have opened it just now. */
	if (!atomic_compare_exchange_strong(&inode->draft, &none, draft))
		return -ESTALE;
	*ret = draft;
	draft_ref(steal(draft));
	return 0;
}

static void answer_open(struct request *request, int r)
{
	struct opening *o = container_of(request, struct opening, request);
	struct mount *m = request->m;
	struct draft *draft = NULL;
	const bool is_empty = o->fi.flags & O_TRUNC;
	if (r == 0)
		r = begin_draft(m, o->inode, false, request->entry, is_empty, &draft);
	if (r < 0) {
		request_fail(request, r, NULL);
		return;
	}
	/* It may begin as another version than the lookup has told the kernel of, and be of another size. */
	if (!is_empty)
		m->reply->inval(m->session, o->inode->id, -1, 0);
	reply_open(m, request->req, draft, &o->fi);
	draft_unref(draft);
}

static void end_open(struct request *request)
{
	inode_let_go(request->m, container_of(request, struct opening, request)->inode->id, 1);
}

static const struct request_kind open_kind = {.size = sizeof(struct opening), .ask = ask_newest, .answer = answer_open, .end = end_open};

/* One more who opens a draft. */
struct joining {
	struct request request;
	struct draft *draft; /* one of its handles, until it is answered */
	struct fuse_file_info fi;
	bool is_answered;
};

/* A handle that nobody has got. */
static void drop_handle(struct draft *draft)
{
	if (!draft_close(draft) || !draft_try_to_enter(draft))
		return;
	draft_log(draft);
	draft_drop(draft);
	draft_leave(draft);
}

static int ask_to_empty(struct request *request)
{
	struct draft *draft = container_of(request, struct joining, request)->draft;
	int r = draft_enter(draft, &request->cancelled);
	if (r < 0)
		return r;
	r = draft_set_length(draft, 0);
	draft_leave(draft);
	return r;
}

static void answer_joined(struct request *request, int r)
{
	struct joining *j = container_of(request, struct joining, request);
	struct mount *m = request->m;
	j->is_answered = r == 0;
	if (r == 0)
		reply_open(m, request->req, j->draft, &j->fi);
	else
		m->reply->err(request->req, -r);
}

static void end_joining(struct request *request)
{
	const struct joining *j = container_of(request, struct joining, request);
	if (!j->is_answered)
		drop_handle(j->draft);
	draft_unref(j->draft);
}

static const struct request_kind joining_kind = {.size = sizeof(struct joining), .ask = ask_to_empty, .answer = answer_joined, .end = end_joining};

/* An inode that has a draft: it is one more who has it open. */
static void open_draft(struct mount *m, fuse_req_t req, struct inode *inode, struct fuse_file_info *fi)
{
	struct draft *draft = inode->draft;
	if (!draft_open(draft)) {
		m->reply->err(req, ESTALE);
		return;
	}
	struct joining j = {.request = {.kind = &joining_kind, .m = m, .req = req, .pool = m->storers, .hears = true}, .draft = draft_ref(draft), .fi = *fi};
	if (fi->flags & O_TRUNC && !draft_try_to_enter(draft)) {
		request_start(&j.request);
		return;
	}
	int r = 0;
	if (fi->flags & O_TRUNC) {
		r = draft_set_length(draft, 0);
		draft_leave(draft);
	}
	answer_joined(&j.request, r);
	end_joining(&j.request);
}

void open_to_write(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *inode = inodes_hold(m->inodes, ino);
	if (!inode) {
		m->reply->err(req, ino == INODE_STATS ? -refuse_to_write(m, VIEW_COUNT) : ino < INODE_FIRST ? EISDIR : ENOENT);
		return;
	}
	struct opening o = {.request = {.kind = &open_kind, .m = m, .req = req, .view_id = inode->view, .level = LEVEL_WHOLE}, .inode = inode, .fi = *fi};
	int r = inode->draft ? 0 : check_flags(m, inode->view, fi->flags);
	if (r == 0 && (inode->draft || inode->own)) {
		if (!inode->draft) {
			request_start(&o.request);
			return;
		}
		open_draft(m, req, inode, fi);
	} else if (r == 0 && retry_has_no_name(&m->retries, m->reply->thread(req), ino)) {
		m->reply->err(req, -refuse_without_name(m));
	} else if (r == 0) {
		look_up_again(m, req, ino, NULL);
	} else {
		m->reply->err(req, -r);
	}
	inode_let_go(m, ino, 1);
}

/* --- CREATE --- */

/* An inode of its own, with an empty draft that has one handle. */
static int create(struct mount *m, const char *name, struct inode **ret_inode, struct draft **ret)
{
	cleanup_key struct key key = {0};
	struct stored none = {.size = 0};
	struct inode *inode;
	int r = view_key_to_create(m->entries, name, &key);
	if (r < 0)
		return r;
	randombytes_buf(&none.version, sizeof none.version);
	clock_gettime(CLOCK_REALTIME, &none.written);
	r = inodes_enter_own(m->inodes, VIEW_FRAME, entries_go_by_text(m->entries, &key), false, &key, &none, 0, &inode);
	if (r < 0)
		return r;
	r = begin_draft(m, inode, true, NULL, true, ret);
	if (r < 0)
		inode_let_go(m, inode->id, 1);
	else
		*ret_inode = inode;
	return r;
}

void ckfs_create(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	cleanup_draft struct draft *draft = NULL;
	struct inode *inode = NULL;
	(void)mode;
	int r = check_flags(m, parent < INODE_ROOT + VIEW_COUNT ? (unsigned)(parent - INODE_ROOT) : VIEW_COUNT, fi->flags);
	if (r == 0)
		r = create(m, name, &inode, &draft);
	struct file *file = r == 0 ? file_new(m, draft, fi) : NULL;
	if (r == 0 && !file) {
		draft_close(draft);
		inode_let_go(m, inode->id, 1);
		r = -ENOMEM;
	}
	if (r < 0) {
		reply_error(m, req, r);
		return;
	}
	struct fuse_entry_param e = entry_param(m, inode->id);
	e.attr_timeout = FOREVER;
	attr_of_inode(m, inode, &e.attr);
	set_flags(fi);
	if (m->reply->create(req, &e, fi) != -ENOENT)
		return;
	draft_close(draft);
	file_close(m, file);
	inode_let_go(m, e.ino, 1);
}
