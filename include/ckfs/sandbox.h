/*
 * Limits what the daemon can do once the mount serves. It reads what others have stored: if somebody makes it run foreign code, that code must
 * get no further than to what the mount needs. There are four parts. Each works without the others, since not every kernel has all of them:
 *
 *   privileges    no program that is started gains any
 *   capabilities  root keeps only those to open files of other users and to lock memory
 *   Landlock      files: only the places that were named here
 *   seccomp       system calls: only those that a mount needs; a call that starts programs, mounts or looks into processes ends the daemon
 */
#ifndef CKFS_SANDBOX_H
#define CKFS_SANDBOX_H

#include "ckfs/error.h"

enum sandbox_use {
	/*
	 * A file or directory that is read. It may be replaced, and so may directories and mounts above it. So these may be read, with all below
	 * them: the directory that it lies in, those that hold links on the way to it, and the second level of its path (/home/USER). Never
	 * the root directory: what lies directly in it is allowed as it is now.
	 */
	SANDBOX_READ,
	SANDBOX_READ_UNNOTICED, /* the same, without a change of access times */
	SANDBOX_READ_BELOW,     /* a directory as it is now */
	SANDBOX_MAKE_FILES,     /* a directory where files are made, as it is now */
	SANDBOX_MAKE_FILES_AGAIN, /* the same, also after it was replaced: so in the directory above, too */
	SANDBOX_STORE,          /* a directory where files are made, written, given to its owner, renamed and removed, also after it was replaced: so in the one above, too */
	SANDBOX_WRITE,          /* a file that is there already */
	SANDBOX_DEVICE,         /* a file that is read, written and controlled */
	SANDBOX_CONNECT,        /* a unix socket */
	SANDBOX_USES,
};

struct sandbox;

/* 0, -ENOMEM. */
int sandbox_new(struct sandbox **ret);
void sandbox_free(struct sandbox *sandbox);

/* Leaves out what does not exist. sandbox_enter() tells if memory was short. */
void sandbox_allow(struct sandbox *sandbox, enum sandbox_use use, const char *path);

/* The files that the links in a directory lead to. */
void sandbox_allow_linked(struct sandbox *sandbox, const char *directory);

/* CA certificates in directories with a colon between them, where links that are named by a hash lead to them. */
void sandbox_allow_ca_directories(struct sandbox *sandbox, const char *list);

/* Connections to other machines, and what a resolver reads. */
void sandbox_allow_network(struct sandbox *sandbox);

/*
 * Enters the sandbox: this thread and all that it starts, for ever. Call it while there are no other threads. *ret_missing: the parts that this
 * kernel does not have, with the reasons; empty: none is missing. 0; -ENOMEM nothing was done; -ENOTSUP neither files nor system calls are restricted.
 */
int sandbox_enter(const struct sandbox *sandbox, struct error *ret_missing);

#endif
