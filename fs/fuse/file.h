/* Open files: those that are read, and those that are written (write.c). */
#ifndef CKFS_FUSE_FILE_H
#define CKFS_FUSE_FILE_H

#include "mount.h"

struct file {
	struct handle handle;
	struct entry *entry; /* a reference, for its attributes; NULL for .ckfs/stats and for a draft */
	struct content content;
	uint64_t size;
	struct inode *inode; /* held: how it is open counts (passthrough.h); NULL: that does not matter */
	struct draft *draft; /* a reference: it is written; NULL: it is a version, for reading */
};

static inline struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

/* A handle of a draft, which takes a reference of its own. NULL: no memory. */
struct file *file_new(struct mount *m, struct draft *draft, struct fuse_file_info *fi);

/* It counts as open until it holds nothing any more. */
void file_close(struct mount *m, struct file *file);

/* write.c: OPEN of what is to be written, or is being written. */
void open_to_write(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* write.c: READ of such a file. flush.c: its RELEASE. */
void read_draft(struct mount *m, fuse_req_t req, size_t size, off_t off, const struct file *file);
void release_draft(struct mount *m, fuse_req_t req, struct file *file);

#endif
