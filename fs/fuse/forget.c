/* FORGET. */
#include "forget.h"
#include "operations.h"

void inode_let_go(struct mount *m, uint64_t ino, uint64_t times)
{
	if (ino >= INODE_FIRST && inodes_forget(m->inodes, ino, times))
		retry_forget(&m->retries, ino);
}

void ckfs_forget(struct mount *m, fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	inode_let_go(m, ino, nlookup);
	m->reply->none(req);
}

void ckfs_forget_multi(struct mount *m, fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		inode_let_go(m, forgets[i].ino, forgets[i].nlookup);
	m->reply->none(req);
}
