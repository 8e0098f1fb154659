/* GETATTR, STATFS. */
#include "attr.h"
#include "control.h"
#include "operations.h"

#include <errno.h>

/* The size of what is made afresh may have changed: it is made again, if somebody holds the entry. */
static void refresh_size(struct mount *m, struct inode *inode)
{
	const struct view *view = views[inode->view];
	struct entry *entry = entries_held(m->entries, &inode->hash, inode->by_text, &inode->version);
	uint64_t size;
	if (!entry)
		return;
	if (entry_reached(entry, view->size_level) && view_size(view, entry, &size) == 0)
		inode->size = size;
	entry_unref(entry);
}

void ckfs_getattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	(void)fi;
	stats_add(&m->stats, getattrs, 1);
	if (ino == INODE_STATS) {
		control_getattr(m, req);
		return;
	}
	if (ino < INODE_FIRST) {
		/* The kernel asks for each directory of each path it walks. Only its time can be out of date. */
		attr_of_directory(m, ino, &st);
		m->reply->attr(req, &st, m->options->listed_ttl);
		return;
	}
	struct inode *inode = inodes_get(m->inodes, ino);
	if (!inode) {
		m->reply->err(req, ENOENT);
		return;
	}
	bool afresh = views[inode->view]->afresh;
	if (afresh)
		refresh_size(m, inode);
	attr_of_inode(m, inode, &st);
	m->reply->attr(req, &st, afresh ? 0 : FOREVER);
}

struct statfs_request {
	struct request request;
	struct statvfs st;
};

static struct statvfs *st_of(struct request *request)
{
	return &container_of(request, struct statfs_request, request)->st;
}

static int ask_statfs(struct request *request)
{
	return backend_statfs(request->m->backend, st_of(request));
}

static void answer_statfs(struct request *request, int r)
{
	struct statvfs *st = st_of(request);
	if (r < 0) {
		reply_error(request->m, request->req, r);
		return;
	}
	st->f_namemax = 255;
	request->m->reply->statfs(request->req, st);
}

static const struct request_kind statfs_kind = {.size = sizeof(struct statfs_request), .ask = ask_statfs, .answer = answer_statfs};

void ckfs_statfs(struct mount *m, fuse_req_t req, fuse_ino_t ino)
{
	struct statfs_request s = {.request = {.kind = &statfs_kind, .m = m, .req = req}};
	(void)ino;
	request_start(&s.request);
}
