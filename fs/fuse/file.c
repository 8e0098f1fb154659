/* OPEN, READ, RELEASE. An open file is one version, whole, until it is closed. */
#include "pending.h"

#include "buffers.h"
#include "control.h"
#include "errand.h"
#include "fill.h"
#include "readahead.h"

#include "ckfs/clock.h"
#include "ckfs/known_keys.h"

#include <errno.h>
#include <stdlib.h>

struct file {
	struct handle handle;
	struct entry *entry; /* a reference: its attributes can be asked for while it is open; NULL for .ckfs/stats */
	struct content content;
	uint64_t size;
};

static void file_free(struct handle *handle)
{
	struct file *file = container_of(handle, struct file, handle);
	content_done(&file->content);
	entry_unref(file->entry);
	free(file);
}

/* Counts it as open for as long as it holds anything. */
static void close_file(struct mount *m, struct file *file)
{
	handle_free(&m->handles, &file->handle);
	stats_add(&m->stats, open_files, -1);
}

/* Takes the content, and a reference of its own to the entry, which may be NULL. */
static void reply_open(struct mount *m, fuse_req_t req, struct entry *entry, struct content *content, bool afresh,
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
	handle_add(&m->handles, &file->handle);
	stats_add(&m->stats, open_files, 1);
	fi->fh = (uint64_t)(uintptr_t)file;
	/* An inode is a version: its pages are valid for ever. What is made afresh has no pages. */
	fi->keep_cache = !afresh;
	fi->direct_io = afresh;
	if (fuse_reply_open(req, fi) == -ENOENT)
		close_file(m, file);
}

/* The kernel looks the name up again by itself when an open says so (see retries.h). */
static void look_up_again(struct mount *m, fuse_req_t req, pid_t pid)
{
	retry_note(&m->retries, pid);
	stats_add(&m->stats, stale_opens, 1);
	fuse_reply_err(req, ESTALE);
}

static void finish_open(struct pending *p, int r)
{
	const struct view *view = views[p->view_id];
	struct content content = {0};
	const char *reason = NULL;
	if (r == 0)
		r = view->status(p->entry, view->open_level, &reason);
	if (r == 0)
		r = view->content(p->entry, &content);
	if (r == -ESTALE) {
		look_up_again(p->m, p->req, p->pid);
		return;
	}
	if (r < 0) {
		pending_fail(p, r, reason);
		return;
	}
	known_keys_add(p->m->known, entry_key(p->entry));
	if (!view->afresh)
		fill_pages(p->m, p->ino, &content);
	reply_open(p->m, p->req, p->entry, &content, view->afresh, &p->fi);
}

/*
 * The entry that an inode is, to be opened. The newest version is asked for. If it is another one by now,
 * what a lookup has just found is opened all the same: it was the newest then. But an inode that the kernel
 * may have from a listing is looked up again: ESTALE makes the kernel do that (see retries.h).
 */
static int entry_of_inode(struct mount *m, const struct inode *inode, bool looked_up, const atomic_bool *cancel, struct entry **ret)
{
	struct key key;
	struct entry *entry;
	int r = inode_key(m->inodes, inode, &key);
	if (r < 0)
		return r;
	r = entries_find(m->entries, &key, false, cancel, &entry);
	key_done(&key);
	if (r == 0 && entry_is_interop(entry) == inode->interop && version_equal(&entry_stored(entry)->version, &inode->version)) {
		*ret = entry;
		return 0;
	}
	if (r == 0)
		entry_unref(entry);
	if (r < 0 && r != -ENOENT)
		return r;

	entry = entries_held(m->entries, &inode->hash, inode->interop, &inode->version);
	if (entry && looked_up) {
		*ret = entry;
		return 0;
	}
	entry_unref(entry);
	return -ESTALE;
}

struct opening {
	struct errand errand;
	const struct inode *inode; /* held */
	bool looked_up; /* for this very open: the kernel does not have the inode from a listing */
	unsigned view_id;
	struct entry *entry; /* a reference */
	struct fuse_file_info fi;
};

static int ask_inode(struct errand *errand)
{
	struct opening *o = container_of(errand, struct opening, errand);
	return entry_of_inode(errand->m, o->inode, o->looked_up, &errand->cancelled, &o->entry);
}

static void finish_inode(struct errand *errand, int r)
{
	struct opening *o = container_of(errand, struct opening, errand);
	if (r == -ESTALE) {
		look_up_again(errand->m, errand->req, errand->pid);
	} else if (r < 0) {
		reply_error(errand->m, errand->req, r);
	} else {
		struct pending p = {.m = errand->m, .req = errand->req, .pid = errand->pid, .view_id = o->view_id, .finish = finish_open, .fi = o->fi};
		p.entry = entry_ref(o->entry);
		p.ino = o->inode->id;
		pending_start(&p, views[p.view_id]->open_level);
	}
}

static void opening_done(struct errand *errand)
{
	struct opening *o = container_of(errand, struct opening, errand);
	entry_unref(o->entry);
	inodes_forget(errand->m->inodes, o->inode->id, 1);
}

void ckfs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	stats_add(&m->stats, opens, 1);
	if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EROFS);
		return;
	}
	if (ino == INODE_STATS) {
		struct content content = {0};
		int r = control_stats(m, &content);
		if (r < 0)
			reply_error(m, req, r);
		else
			reply_open(m, req, NULL, &content, true, fi);
		return;
	}
	struct inode *inode = inodes_hold(m->inodes, ino);
	if (!inode) {
		fuse_reply_err(req, ino < INODE_FIRST ? EISDIR : ENOENT);
		return;
	}
	readahead_tune(m);
	struct opening o = {.errand = {.m = m, .req = req, .ask = ask_inode, .finish = finish_inode, .done = opening_done}};
	o.inode = inode;
	o.looked_up = clock_ms() >= inode->listed_until;
	o.view_id = inode->view;
	o.fi = *fi;
	o.entry = retry_take(&m->retries, fuse_req_ctx(req)->pid, inode->id);
	/* A remote backend was asked by the lookup, and is not asked again: what is made afresh would. */
	if (!o.entry && m->backend->ops->remote && o.looked_up && !views[o.view_id]->afresh)
		o.entry = entries_held(m->entries, &inode->hash, inode->interop, &inode->version);
	if (o.entry)
		errand_answer(&o.errand);
	else
		errand_start(&o.errand, sizeof o);
}

static struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

void ckfs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	const struct file *file = file_of(fi);
	uint64_t at = (uint64_t)off;
	(void)ino;
	uint64_t left = at < file->size ? file->size - at : 0;
	size_t n = size < left ? size : (size_t)left;
	n = n < BUFFER_SIZE ? n : BUFFER_SIZE;
	stats_add(&m->stats, reads, 1);
	stats_add(&m->stats, read_bytes, n);
	if (n == 0) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	struct slice window;
	if (content_in_memory(&file->content, at, n, &window)) {
		/* The reader may have closed the file before the reply returns. */
		fuse_reply_buf(req, (const char *)slice_memory(&window), n);
		slice_done(&window);
		return;
	}
	void *buffer = buffer_get();
	int r = buffer ? content_read(&file->content, at, buffer, n) : -ENOMEM;
	if (r < 0)
		reply_error(m, req, r);
	else
		fuse_reply_buf(req, buffer, n);
	if (buffer)
		buffer_put(buffer);
}

void ckfs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	(void)ino;
	close_file(m, file_of(fi));
	fuse_reply_err(req, 0);
}
