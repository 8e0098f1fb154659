#include "dispatch.h"

#include "latency.h"
#include "operations.h"

#include <poll.h>

/*
 * Mostly the next request follows at once: OPEN follows LOOKUP, the LOOKUP of the next file follows RELEASE. A thread that
 * polls for it needs not be woken.
 */
static void await_next(struct mount *m)
{
	if (atomic_exchange(&m->awaits_next, true))
		return;
	busy_poll(&m->next_request, fuse_session_fd(m->session), POLLIN);
	atomic_store(&m->awaits_next, false);
}

/* An operation of libfuse, with the mount; and what comes after it. */
#define OPERATION(name, after, parameters, ...) \
	static void on_##name parameters \
	{ \
		struct mount *m = fuse_req_userdata(req); \
		latency_begin(REQUEST_##name); \
		ckfs_##name(m, __VA_ARGS__); \
		latency_end(m); \
		after; \
	}

OPERATION(lookup, await_next(m), (fuse_req_t req, fuse_ino_t parent, const char *name), req, parent, name)
OPERATION(getattr, await_next(m), (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
OPERATION(open, await_next(m), (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
OPERATION(read, await_next(m), (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi), req, ino, size, off, fi)
OPERATION(release, await_next(m), (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
OPERATION(getxattr, await_next(m), (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size), req, ino, name, size)
OPERATION(listxattr, await_next(m), (fuse_req_t req, fuse_ino_t ino, size_t size), req, ino, size)
OPERATION(statfs, , (fuse_req_t req, fuse_ino_t ino), req, ino)
OPERATION(opendir, , (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
OPERATION(readdir, , (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi), req, ino, size, off, fi)
OPERATION(readdirplus, , (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi), req, ino, size, off, fi)
OPERATION(releasedir, , (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)

OPERATION(create, await_next(m), (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi), req, parent, name, mode, fi)
OPERATION(write, await_next(m), (fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off, struct fuse_file_info *fi), req, ino, bytes, size, off, fi)
OPERATION(flush, await_next(m), (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
OPERATION(fsync, , (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi), req, ino, datasync, fi)
OPERATION(unlink, , (fuse_req_t req, fuse_ino_t parent, const char *name), req, parent, name)
OPERATION(setattr, , (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi), req, ino, attr, to_set, fi)
OPERATION(setxattr, , (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags), req, ino, name, value, size, flags)
OPERATION(removexattr, , (fuse_req_t req, fuse_ino_t ino, const char *name), req, ino, name)
OPERATION(rename, , (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname, unsigned flags), req, parent, name, newparent, newname, flags)
OPERATION(rmdir, , (fuse_req_t req, fuse_ino_t parent, const char *name), req, parent, name)
OPERATION(mkdir, , (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode), req, parent, name, mode)
OPERATION(mknod, , (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device), req, parent, name, mode, device)
OPERATION(symlink, , (fuse_req_t req, const char *target, fuse_ino_t parent, const char *name), req, target, parent, name)
OPERATION(link, , (fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname), req, ino, newparent, newname)

/* These have no answer. */
static void on_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	ckfs_forget(fuse_req_userdata(req), req, ino, nlookup);
}

static void on_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	ckfs_forget_multi(fuse_req_userdata(req), req, count, forgets);
}

#define READING \
	.lookup = on_lookup, .forget = on_forget, .forget_multi = on_forget_multi, .getattr = on_getattr, .statfs = on_statfs, \
	.open = on_open, .read = on_read, .release = on_release, .opendir = on_opendir, .readdir = on_readdir, .readdirplus = on_readdirplus, \
	.releasedir = on_releasedir, .getxattr = on_getxattr, .listxattr = on_listxattr

/* A mount that only reads: the kernel itself refuses changes, and asks nothing when a file is closed. */
static const struct fuse_lowlevel_ops reading = {READING};

static const struct fuse_lowlevel_ops writing = {
	READING,
	.create = on_create,
	.write = on_write,
	.flush = on_flush,
	.fsync = on_fsync,
	.unlink = on_unlink,
	.setattr = on_setattr,
	.setxattr = on_setxattr,
	.removexattr = on_removexattr,
	.rename = on_rename,
	.rmdir = on_rmdir,
	.mkdir = on_mkdir,
	.mknod = on_mknod,
	.symlink = on_symlink,
	.link = on_link,
};

const struct fuse_lowlevel_ops *dispatch_operations(bool write)
{
	return write ? &writing : &reading;
}
