/* What stat shows. */
#include "control.h"
#include "errand.h"
#include "pending.h"

#include <errno.h>

#define BLOCK 512

static void set_times(struct stat *st, const struct timespec *t)
{
	st->st_mtim = st->st_ctim = st->st_atim = *t;
}

/* Nothing can be written, which `ro` says: who copies the tree gets copies that can. */
void attr_of_directory(const struct mount *m, uint64_t id, struct stat *ret)
{
	const struct options *o = m->options;
	struct timespec changed = m->since;
	backend_changed(m->backend, &changed);
	*ret = (struct stat){.st_ino = id, .st_uid = o->uid, .st_gid = o->gid};
	ret->st_mode = S_IFDIR | (o->has_umask ? 0777 & ~o->umask : 0700);
	ret->st_nlink = id == INODE_ROOT ? 2 + VIEW_COUNT - 1 : 2;
	set_times(ret, id == INODE_CONTROL ? &m->since : &changed);
}

void attr_of_file(const struct mount *m, uint64_t number, uint64_t size, const struct timespec *written, struct stat *ret)
{
	const struct options *o = m->options;
	*ret = (struct stat){.st_ino = number, .st_uid = o->uid, .st_gid = o->gid, .st_nlink = 1, .st_blksize = 4096};
	ret->st_mode = S_IFREG | (o->has_umask ? 0666 & ~o->umask : 0600);
	ret->st_size = (off_t)size;
	ret->st_blocks = (blkcnt_t)((size + BLOCK - 1) / BLOCK);
	set_times(ret, written);
}

void attr_of_inode(const struct mount *m, const struct inode *inode, struct stat *ret)
{
	attr_of_file(m, inode_number(inode->view, &inode->hash, &inode->version), inode->size, &inode->written, ret);
}

/* What is made afresh may have another size by now, if the entry is at hand. */
static void refresh_size(struct mount *m, struct inode *inode)
{
	const struct view *view = views[inode->view];
	struct entry *entry = entries_held(m->entries, &inode->hash, inode->interop, &inode->version);
	uint64_t size;
	if (!entry)
		return;
	if (entry_reached(entry, view->size_level) && view_size(view, entry, &size) == 0)
		inode->size = size;
	entry_unref(entry);
}

void ckfs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct stat st;
	(void)fi;
	stats_add(&m->stats, getattrs, 1);
	if (ino == INODE_STATS) {
		control_getattr(m, req);
		return;
	}
	if (ino < INODE_FIRST) {
		/* Each path that is walked asks for a directory's permissions: only its time can be out of date. */
		attr_of_directory(m, ino, &st);
		fuse_reply_attr(req, &st, m->options->listed_ttl);
		return;
	}
	struct inode *inode = inodes_get(m->inodes, ino);
	if (!inode) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	bool afresh = views[inode->view]->afresh;
	if (afresh)
		refresh_size(m, inode);
	attr_of_inode(m, inode, &st);
	fuse_reply_attr(req, &st, afresh ? 0 : FOREVER);
}

struct asking {
	struct errand errand;
	struct statvfs st;
};

static int ask_statfs(struct errand *errand)
{
	return backend_statfs(errand->m->backend, &container_of(errand, struct asking, errand)->st);
}

static void finish_statfs(struct errand *errand, int r)
{
	struct statvfs *st = &container_of(errand, struct asking, errand)->st;
	if (r < 0) {
		reply_error(errand->m, errand->req, r);
		return;
	}
	st->f_namemax = 255;
	fuse_reply_statfs(errand->req, st);
}

void ckfs_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct asking a = {.errand = {.m = fuse_req_userdata(req), .req = req, .ask = ask_statfs, .finish = finish_statfs}};
	(void)ino;
	errand_start(&a.errand, sizeof a);
}
