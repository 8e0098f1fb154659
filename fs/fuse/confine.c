#include "confine.h"

#include "mountpoint.h"
#include "readahead.h"

#include "ckfs/cleanup.h"
#include "ckfs/log.h"
#include "ckfs/sandbox.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

/* What every mount needs; a cache or a server is added. */
static const struct {
	enum sandbox_use use;
	const char *path;
} places[] = {
	{SANDBOX_DEVICE, "/dev/fuse"}, /* once more for each thread */
	{SANDBOX_WRITE, "/dev/null"},
	/* All of it: the directory of one process may be another one soon. What is another process's is closed to who is in the sandbox. */
	{SANDBOX_READ_BELOW, "/proc"},
};

static void name_needs(const struct mount *m, struct sandbox *sandbox)
{
	char path[READAHEAD_PATH_SIZE];
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		sandbox_allow(sandbox, places[i].use, places[i].path);
	if (readahead_path(m, path))
		sandbox_allow(sandbox, SANDBOX_WRITE, path);
	/* The usual one is the system's, and always the same. */
	sandbox_allow(sandbox, m->options->has_spool_dir ? SANDBOX_MAKE_FILES_AGAIN : SANDBOX_MAKE_FILES, m->options->spool_dir);
	backend_needs(m->backend, sandbox);
}

static void free_sandbox(struct sandbox **sandbox)
{
	sandbox_free(*sandbox);
}

static int enter(const struct mount *m, struct error *error)
{
	cleanup_with(free_sandbox) struct sandbox *sandbox = NULL;
	struct error missing;
	const bool wanted = m->options->sandbox == SANDBOX_ON;
	int r = sandbox_new(&sandbox);
	if (r == 0) {
		name_needs(m, sandbox);
		r = sandbox_enter(sandbox, &missing);
	}
	if (r == -ENOMEM)
		return error_set(error, r, "no memory");
	if (r < 0 && wanted)
		return error_set(error, r, "-o sandbox=on: this kernel has no %s; without the option ckfs does what it can", missing.text);
	if (*missing.text && (wanted || m->options->debug))
		log_line(wanted ? LOG_WARNING : LOG_DEBUG, "sandbox: without %s", missing.text);
	return 0;
}

int confine(struct mount *m, struct error *error)
{
	if (m->options->sandbox == SANDBOX_OFF)
		return 0;
	int r = unmounter_start(&m->unmounter, m->session, m->arguments, m->keyring);
	return r < 0 ? error_set(error, r, "no process or thread can be started: %s", strerror(-r)) : enter(m, error);
}
