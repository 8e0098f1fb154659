/* The kernel's side: one mount and what its requests share. Only this directory knows libfuse. */
#ifndef CKFS_FUSE_MOUNT_H
#define CKFS_FUSE_MOUNT_H

#include "handle.h"
#include "inode.h"
#include "lacks.h"
#include "passthrough.h"
#include "reply.h"
#include "request.h"
#include "retries.h"
#include "timeouts.h"
#include "unmounter.h"

#include "ckfs/busy_poll.h"
#include "ckfs/entry.h"
#include "ckfs/stats.h"
#include "ckfs/view.h"

/* How long what never changes may live in the kernel, in seconds. */
#define FOREVER 1e9

struct mount {
	const struct options *options;
	const struct reply_ops *reply; /* how requests are answered */
	struct backend *backend;
	struct known_keys *known;
	struct keyring *keyring; /* NULL: no key is configured */
	struct entries *entries;
	struct inodes *inodes;
	struct stats stats;
	_Atomic uint64_t stats_size; /* of .ckfs/stats, as it was opened last; 0: never */
	struct retries retries;
	struct timeouts timeouts;
	struct lacks lacks;
	struct passthrough passthrough;
	struct handles handles; /* open files and directories */
	struct requests requests; /* that ask */
	struct work_pool *waiters; /* threads that wait for a remote backend; NULL: it is a local one */
	struct work_pool *listers; /* threads that make the replies of listings, and end them */
	struct work_pool *storers; /* threads that store what was written; NULL: nothing can be */
	atomic_bool told_nameless; /* those who opened no name to write were told so */
	atomic_uint told_views; /* a bit for each view whose writers were told of frame/ */
	atomic_uint waiting; /* threads of requests that wait for it themselves */
	struct fuse_session *session;
	uint32_t generation; /* of all nodes, and of no other mount: a file handle (name_to_handle_at) outlives a mount, and ids begin anew */
	struct busy_poll next_request;
	atomic_bool awaits_next; /* a thread polls for the next request: one is enough */
	struct timespec since;
	struct unmounter unmounter;
	char **arguments; /* the program's, which ps shows */
	int nowhere_fd; /* while ready_fd is: what becomes of the standard streams then */
	int ready_fd; /* told when the mount serves; -1: nobody waits */
	atomic_int readahead_kb; /* what the read-ahead was set to; 0: nothing yet; -1: it cannot be set */
	atomic_bool told_incomplete; /* that listings show known keys only was logged */
	atomic_bool init_is_due; /* the kernel's INIT is about to be answered; nothing else is asked before */
};

/* What is told of a node; its attributes and times are added. The only place where a generation is given. */
static inline struct fuse_entry_param entry_param(const struct mount *m, uint64_t id)
{
	return (struct fuse_entry_param){.ino = id, .generation = m->generation};
}

#endif
