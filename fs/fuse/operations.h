/* What the kernel asks for, an operation a function, as struct fuse_lowlevel_ops of libfuse has them. Each answers its request, then or later. */
#ifndef CKFS_FUSE_OPERATIONS_H
#define CKFS_FUSE_OPERATIONS_H

#include "reply.h"

/* lookup.c */
void ckfs_lookup(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name);

/* forget.c */
void ckfs_forget(struct mount *m, fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void ckfs_forget_multi(struct mount *m, fuse_req_t req, size_t count, struct fuse_forget_data *forgets);

/* getattr.c */
void ckfs_getattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ckfs_statfs(struct mount *m, fuse_req_t req, fuse_ino_t ino);

/* file.c */
void ckfs_open(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ckfs_read(struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ckfs_release(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* write.c */
void ckfs_create(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void ckfs_write(struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off, struct fuse_file_info *fi);

/* flush.c */
void ckfs_flush(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ckfs_fsync(struct mount *m, fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* change.c */
void ckfs_unlink(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name);
void ckfs_setattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void ckfs_setxattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void ckfs_removexattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *name);
void ckfs_rename(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname, unsigned flags);
void ckfs_rmdir(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name);
void ckfs_mkdir(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ckfs_mknod(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void ckfs_symlink(struct mount *m, fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void ckfs_link(struct mount *m, fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);

/* dir.c */
void ckfs_opendir(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ckfs_readdir(struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ckfs_readdirplus(struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ckfs_releasedir(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* xattr.c */
void ckfs_getxattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ckfs_listxattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size);

#endif
