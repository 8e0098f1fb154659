/* Between the parts of the sandbox. */
#ifndef CKFS_SANDBOX_PRIVATE_H
#define CKFS_SANDBOX_PRIVATE_H

#include "ckfs/sandbox.h"

#include <stdbool.h>
#include <stddef.h>

struct sandbox_place {
	enum sandbox_use use;
	char *path;
};

struct sandbox {
	struct sandbox_place *places;
	size_t count, capacity;
	bool network;
	bool failed; /* there was no memory for all of it */
};

/* sandbox_landlock.c, sandbox_seccomp.c: enter their part. 0, -errno. */
int sandbox_restrict_files(const struct sandbox *sandbox);
int sandbox_restrict_calls(const struct sandbox *sandbox);

/* Whether this kernel can restrict system calls. */
bool sandbox_can_restrict_calls(void);

#endif
