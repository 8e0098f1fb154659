/* OPEN, READ, RELEASE. An open file is one version, whole, until it is closed. */
#include "buffers.h"
#include "control.h"
#include "file.h"
#include "fill.h"
#include "forget.h"
#include "operations.h"
#include "readahead.h"

#include "ckfs/clock.h"
#include "ckfs/known_keys.h"

#include <errno.h>
#include <stdlib.h>

static void file_free(struct handle *handle)
{
	struct file *file = container_of(handle, struct file, handle);
	content_done(&file->content);
	entry_unref(file->entry);
	draft_unref(file->draft);
	free(file);
}

void file_close(struct mount *m, struct file *file)
{
	struct inode *inode = file->inode;
	if (inode) {
		passthrough_close(m, inode);
		inode_let_go(m, inode->id, 1);
	}
	handle_free(&m->handles, &file->handle);
	stats_add(&m->stats, open_files, -1);
}

static void file_add(struct mount *m, struct file *file, struct fuse_file_info *fi)
{
	handle_add(&m->handles, &file->handle);
	stats_add(&m->stats, open_files, 1);
	fi->fh = (uint64_t)(uintptr_t)file;
}

struct file *file_new(struct mount *m, struct draft *draft, struct fuse_file_info *fi)
{
	struct file *file = malloc(sizeof *file);
	if (!file)
		return NULL;
	*file = (struct file){.handle.free = file_free, .draft = draft_ref(draft)};
	file_add(m, file, fi);
	return file;
}

/* Takes the content, and a reference of its own to the entry. Both that and the inode may be NULL: the content is made afresh. */
static void reply_open(struct mount *m, fuse_req_t req, struct inode *inode, struct entry *entry, struct content *content, bool afresh,
	struct fuse_file_info *fi)
{
	struct file *file = malloc(sizeof *file);
	if (!file) {
		content_done(content);
		reply_error(m, req, -ENOMEM);
		return;
	}
	*file = (struct file){.handle.free = file_free, .content = *content, .size = content_size(content)};
	file->entry = entry ? entry_ref(entry) : NULL;
	file_add(m, file, fi);
	/* There is nothing to be stored when it is closed. */
	fi->noflush = true;
	/* An inode is a version: its pages are valid for ever. What is made afresh has no pages. */
	fi->keep_cache = !afresh;
	fi->direct_io = afresh;
	if (!afresh && passthrough_open(m, inode, &file->content, fi))
		file->inode = inodes_hold(m->inodes, inode->id);
	if (m->reply->open(req, fi) == -ENOENT)
		file_close(m, file);
}

/*
 * Finds the entry of an inode that is opened, if it is still the newest version. If there is a newer one, what a lookup has just found is opened all
 * the same: it was the newest then. But an inode that the kernel may have from a listing is -ESTALE, which makes the kernel look up again (retries.h);
 * and who comes back without a lookup gets the version that he has, or somebody else.
 */
static int entry_to_open(struct mount *m, const struct inode *inode, bool takes_older, const atomic_bool *cancel, struct entry **ret)
{
	struct key key;
	struct entry *entry;
	int r = inode_key(m->inodes, inode, &key);
	if (r < 0)
		return r;
	r = entries_find(m->entries, &key, false, cancel, &entry);
	key_done(&key);
	if (r == 0 && entry_goes_by_text(entry) == inode->by_text && version_equal(&entry_stored(entry)->version, &inode->version)) {
		*ret = entry;
		return 0;
	}
	if (r == 0)
		entry_unref(entry);
	if (r < 0 && r != -ENOENT)
		return r;

	entry = entries_held(m->entries, &inode->hash, inode->by_text, &inode->version);
	if (entry && takes_older) {
		/* It may be another one than the lookup has found, of the same version: by its text, or not. Its expiry may be told from before that. */
		if (views[inode->view]->afresh)
			entry_ask_expires(entry);
		*ret = entry;
		return 0;
	}
	entry_unref(entry);
	return -ESTALE;
}

struct opening {
	struct request request;
	struct inode *inode; /* held */
	bool looked_up;      /* for this very open: the kernel does not have the inode from a listing */
	bool has_no_name;    /* no lookup can find anything newer */
	struct fuse_file_info fi;
};

/* The entry that the lookup for this open has found, where nothing but its expiry has to be asked for. NULL: it has to be found. A reference. */
static struct entry *entry_to_refresh(struct mount *m, const struct opening *o)
{
	struct entry *entry = o->looked_up ? entries_held(m->entries, &o->inode->hash, o->inode->by_text, &o->inode->version) : NULL;
	if (entry && entry_stored(entry)->expires == EXPIRES_UNKNOWN)
		return entry;
	entry_unref(entry);
	return NULL;
}

static int ask_inode(struct request *request)
{
	struct opening *o = container_of(request, struct opening, request);
	const bool afresh = views[request->view_id]->afresh;
	struct entry *entry = afresh ? entry_to_refresh(request->m, o) : NULL;
	int r = entry ? 0 : entry_to_open(request->m, o->inode, o->looked_up || o->has_no_name, &request->cancelled, &entry);
	/* What is made afresh tells of the expiry, too, and all else when that cannot be told. */
	if (r == 0 && afresh && entry_stored(entry)->expires == EXPIRES_UNKNOWN)
		entry_ask_expires(entry);
	if (r == 0)
		request->entry = entry;
	return r;
}

static void answer_open(struct request *request, int r)
{
	struct opening *o = container_of(request, struct opening, request);
	struct mount *m = request->m;
	const struct view *view = views[request->view_id];
	struct content content = {0};
	const char *reason = NULL;
	if (r == 0)
		r = view->status(request->entry, view->open_level, &reason);
	if (r == 0)
		r = view->content(request->entry, &content);
	if (r == -ESTALE) {
		look_up_again(m, request->req, o->inode->id, &o->inode->hash);
		return;
	}
	if (r < 0) {
		request_fail(request, r, reason);
		return;
	}
	known_keys_add(m->known, entry_key(request->entry));
	if (!view->afresh) {
		fill_pages(m, o->inode, &content);
		readahead_tune(m, view, content_size(&content));
	}
	reply_open(m, request->req, o->inode, request->entry, &content, view->afresh, &o->fi);
}

static void end_open(struct request *request)
{
	inode_let_go(request->m, container_of(request, struct opening, request)->inode->id, 1);
}

static const struct request_kind open_kind = {.size = sizeof(struct opening), .ask = ask_inode, .answer = answer_open, .end = end_open};

static void open_stats(struct mount *m, fuse_req_t req, struct fuse_file_info *fi)
{
	struct content content = {0};
	int r = control_open(m, &content);
	if (r < 0)
		reply_error(m, req, r);
	else
		reply_open(m, req, NULL, NULL, &content, true, fi);
}

void ckfs_open(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	stats_add(&m->stats, opens, 1);
	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC) {
		open_to_write(m, req, ino, fi);
		return;
	}
	if (ino == INODE_STATS) {
		open_stats(m, req, fi);
		return;
	}
	struct inode *inode = inodes_hold(m->inodes, ino);
	if (!inode) {
		m->reply->err(req, ino < INODE_FIRST ? EISDIR : ENOENT);
		return;
	}
	if (inode->draft) {
		inode_let_go(m, ino, 1);
		open_to_write(m, req, ino, fi);
		return;
	}
	const struct view *view = views[inode->view];
	struct opening o = {.request = {.kind = &open_kind, .m = m, .req = req, .view_id = inode->view, .level = view->open_level}, .inode = inode, .fi = *fi};
	o.looked_up = clock_ms() >= inode->listed_until && !inode->recalled;
	o.has_no_name = retry_has_no_name(&m->retries, m->reply->thread(req), ino);
	o.request.entry = inode->promised ? retry_take(&m->retries, inode->id) : NULL;
	/* The lookup has asked a remote backend, so it is not asked again, except for what is made afresh. */
	if (!o.request.entry && m->backend->ops->remote && o.looked_up && !view->afresh)
		o.request.entry = entries_held(m->entries, &inode->hash, inode->by_text, &inode->version);
	request_start(&o.request);
}

void ckfs_read(struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	const struct file *file = file_of(fi);
	uint64_t at = (uint64_t)off;
	(void)ino;
	if (file->draft) {
		read_draft(m, req, size, off, file);
		return;
	}
	uint64_t left = at < file->size ? file->size - at : 0;
	size_t n = size < left ? size : (size_t)left;
	n = n < BUFFER_SIZE ? n : BUFFER_SIZE;
	stats_add(&m->stats, reads, 1);
	stats_add(&m->stats, read_bytes, n);
	if (n == 0) {
		m->reply->buf(req, NULL, 0);
		return;
	}
	struct slice window;
	if (content_in_memory(&file->content, at, n, &window)) {
		/* The reader may have closed the file before the reply returns. */
		m->reply->buf(req, (const char *)slice_memory(&window), n);
		slice_done(&window);
		return;
	}
	void *buffer = buffer_get();
	int r = buffer ? content_read(&file->content, at, buffer, n) : -ENOMEM;
	if (r < 0)
		reply_error(m, req, r);
	else
		m->reply->buf(req, buffer, n);
	if (buffer)
		buffer_put(buffer);
}

void ckfs_release(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (file_of(fi)->draft) {
		release_draft(m, req, file_of(fi));
		return;
	}
	file_close(m, file_of(fi));
	m->reply->err(req, 0);
}
