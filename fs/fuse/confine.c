#include "confine.h"

#include "mountpoint.h"
#include "readahead.h"

#include "ckfs/cleanup.h"
#include "ckfs/opened.h"
#include "ckfs/sandbox.h"
#include "ckfs/spool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void free_sandbox(struct sandbox **sandbox)
{
	sandbox_free(*sandbox);
}

static int enter(const struct mount *m, struct error *error)
{
	cleanup_with(free_sandbox) struct sandbox *sandbox = NULL;
	char path[READAHEAD_PATH_SIZE], huge[32];
	const int directory = entries_spool(m->entries)->huge;
	int r = sandbox_new(&sandbox);
	if (r < 0)
		return error_set(error, r, "no memory");
	/* Once more for each thread. */
	sandbox_allow(sandbox, SANDBOX_DEVICE, "/dev/fuse");
	if (readahead_path(m, path))
		sandbox_allow(sandbox, SANDBOX_WRITE, path);
	if (directory) {
		snprintf(huge, sizeof huge, "/proc/self/fd/%d", directory);
		sandbox_allow(sandbox, SANDBOX_MAKE_FILES, huge);
	}
	return opened_confine(m->backend, m->options, sandbox, error);
}

int confine(struct mount *m, struct error *error)
{
	if (m->options->sandbox == SANDBOX_OFF)
		return 0;
	int r = unmounter_start(&m->unmounter, m->session, m->arguments, m->keyring);
	return r < 0 ? error_set(error, r, "no process or thread can be started: %s", strerror(-r)) : enter(m, error);
}
