/* Answers to the kernel. They go through a table: libfuse fills it for a mount, tests fill it with what records. */
#ifndef CKFS_FUSE_REPLY_H
#define CKFS_FUSE_REPLY_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

struct mount;

/*
 * As fuse_reply_err() and its like of libfuse: each request gets one answer, which ends `req`. 0; -ENOENT the caller has gone, and what the answer
 * was to hand over is still ours; -errno.
 */
struct reply_ops {
	int (*err)(fuse_req_t req, int error);
	void (*none)(fuse_req_t req);
	int (*entry)(fuse_req_t req, const struct fuse_entry_param *entry);
	int (*attr)(fuse_req_t req, const struct stat *attr, double seconds);
	int (*open)(fuse_req_t req, const struct fuse_file_info *file);
	int (*buf)(fuse_req_t req, const char *bytes, size_t n);
	int (*xattr)(fuse_req_t req, size_t n);
	int (*statfs)(fuse_req_t req, const struct statvfs *st);
	int (*create)(fuse_req_t req, const struct fuse_entry_param *entry, const struct fuse_file_info *file);
	int (*write)(fuse_req_t req, size_t n);

	/* The thread that made the request, as the kernel numbers it for the daemon; 0: it is in a namespace of processes that the daemon does not see. */
	pid_t (*thread)(fuse_req_t req);

	/* As fuse_req_interrupt_func(): waits for an interrupt that is being handled, and calls `func` at once if there was one already. */
	void (*on_interrupt)(fuse_req_t req, fuse_interrupt_func_t func, void *data);

	/* The kernel shall read a descriptor by itself, and no more: backing_open() and backing_close(). */
	int (*back)(struct mount *m, int fd);
	void (*unback)(struct mount *m, int number);

	/* As fuse_lowlevel_notify_store(): no answer, but told to the kernel as well. */
	int (*store)(struct fuse_session *session, fuse_ino_t ino, off_t offset, struct fuse_bufvec *pages, enum fuse_buf_copy_flags flags);

	/* As fuse_lowlevel_notify_inval_inode(), offset -1: the kernel is to ask for the attributes again. */
	int (*inval)(struct fuse_session *session, fuse_ino_t ino, off_t offset, off_t n);
};

/* Answers with an error, and counts it. All that may be what ckfs itself lacks goes through it. */
void reply_error(struct mount *m, fuse_req_t req, int r);

#endif
