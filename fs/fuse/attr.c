#include "attr.h"

#define BLOCK 512

/* Each write is a request. Who writes in pieces as large as he is told, as cp and Python do, needs no more of them than the kernel makes of one write. */
#define BEST_TO_WRITE (1 << 20)

static void set_times(struct stat *st, const struct timespec *t)
{
	st->st_mtim = st->st_ctim = st->st_atim = *t;
}

/* Modes allow to write, so that copies of the tree can be written. That a mount cannot is what `ro` says. */
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
	uint64_t size = inode->size;
	struct timespec written = inode->written;
	if (inode->draft)
		draft_show(inode->draft, &size, &written);
	attr_of_file(m, inode_number(inode->view, &inode->hash, &inode->version), size, &written, ret);
	if (inode->draft)
		ret->st_blksize = BEST_TO_WRITE;
}
