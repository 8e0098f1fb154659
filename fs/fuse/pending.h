/*
 * A request that waits for an entry to be peeled: answered on this thread when that is quick, else later
 * by whoever peels, and at once with EINTR when the caller is interrupted.
 */
#ifndef CKFS_PENDING_H
#define CKFS_PENDING_H

#include "mount.h"

struct pending {
	struct mount *m;
	fuse_req_t req;
	pid_t pid; /* of the caller, where it matters */
	struct entry *entry; /* a reference */
	unsigned view_id;
	/* Answers the request. r: 0, the level was reached; else why not. */
	void (*finish)(struct pending *p, int r);

	enum level level; /* the one it waits for */

	/* What the request needs besides. */
	struct fuse_file_info fi; /* open */
	fuse_ino_t ino;           /* open */
	uint64_t name;            /* lookup: a hash of it */
	size_t size;              /* xattr: of the caller's buffer */
	size_t xattr;             /* getxattr: which */

	/* private */
	struct entry_wait wait;
};

/* Starts to wait. `p` is copied; its entry reference is taken. */
void pending_start(const struct pending *p, enum level level);

/* From within finish: waits for a deeper level, and finishes again. */
void pending_go_on(struct pending *p, enum level level);

/* Answers with an error, and logs it once per entry version. */
void pending_fail(struct pending *p, int r, const char *reason);

/* Answers with an error of no entry. All that may be what ckfs itself lacks goes through it. */
void reply_error(struct mount *m, fuse_req_t req, int r);

#endif
