/* The kernel's side: one mount and what its requests share. Only this directory knows libfuse. */
#ifndef CKFS_FUSE_MOUNT_H
#define CKFS_FUSE_MOUNT_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "ckfs/busy_poll.h"
#include "ckfs/entry.h"
#include "ckfs/error.h"
#include "ckfs/keyring.h"
#include "ckfs/stats.h"
#include "ckfs/view.h"
#include "ckfs/work.h"
#include "handle.h"
#include "inode.h"
#include "lacks.h"
#include "retries.h"
#include "timeouts.h"

#include <pthread.h>
#include <stdatomic.h>

/* How long what never changes may live in the kernel, in seconds. */
#define FOREVER 1e9

struct mount {
	const struct options *options;
	struct backend *backend;
	struct known_keys *known;
	struct keyring *keyring; /* NULL: no key is configured */
	struct entries *entries;
	struct inodes *inodes;
	struct stats stats;
	struct retries retries;
	struct timeouts timeouts;
	struct lacks lacks;
	struct handles handles; /* open files and directories */
	struct work_pool *waiters; /* threads that wait for a remote backend; NULL: it is a local one */
	atomic_uint waiting; /* threads of requests that wait for it themselves */
	struct fuse_session *session;
	uint32_t generation; /* of all nodes, and of no other mount: a file handle (name_to_handle_at) outlives a mount, and ids begin anew */
	struct busy_poll next_request;
	atomic_bool awaits_next; /* a thread polls for the next request: one is enough */
	struct timespec since;
	int ready_fd; /* told when the mount serves; -1: nobody waits */
	atomic_bool tuned; /* the read-ahead was set */
	atomic_bool init_is_due; /* the kernel's INIT is about to be answered; nothing else is asked before */
};

/* What is told of a node; its attributes and times are added. The only place where a generation is given. */
static inline struct fuse_entry_param entry_param(const struct mount *m, uint64_t id)
{
	return (struct fuse_entry_param){.ino = id, .generation = m->generation};
}

/* attr.c */
void attr_of_directory(const struct mount *m, uint64_t id, struct stat *ret);
void attr_of_inode(const struct mount *m, const struct inode *inode, struct stat *ret);
void attr_of_file(const struct mount *m, uint64_t number, uint64_t size, const struct timespec *written, struct stat *ret);
void ckfs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ckfs_statfs(fuse_req_t req, fuse_ino_t ino);

/* lookup.c */
void ckfs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ckfs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void ckfs_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);

/* file.c */
void ckfs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ckfs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ckfs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* dir.c */
void ckfs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ckfs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ckfs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ckfs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* xattr.c */
void ckfs_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ckfs_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);

/* session.c: mounts and serves until it is unmounted. Returns the exit status; *error tells why before it serves. */
int mount_serve(struct mount *m, const char *source, struct error *error);

#endif
