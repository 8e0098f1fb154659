#include "ckfs/opened.h"

#include "ckfs/inherited.h"
#include "ckfs/log.h"
#include "ckfs/secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <syslog.h>

int opened_begin(struct options *options, int argc, char **argv, struct opened *ret, struct error *error)
{
	*ret = (struct opened){.source = NULL};
	/* First, so that the environment is clean before anything else runs. */
	int r = secrets_open(options, &ret->keyring, error);
	if (r == 0)
		r = known_keys_new(&ret->known);
	if (r == 0 && options->keys_file)
		r = known_keys_load(ret->known, options->keys_file, error);
	if (r == 0)
		r = backend_open(options, &ret->backend, &ret->source, error);
	options_forget_source(options, argc, argv);
	inherited_close();
	return r;
}

void opened_done(struct opened *opened)
{
	backend_close(opened->backend);
	known_keys_free(opened->known);
	keyring_free(opened->keyring);
	free(opened->source);
	*opened = (struct opened){.source = NULL};
}

int opened_confine(const struct backend *backend, const struct options *options, struct sandbox *sandbox, struct error *error)
{
	struct error missing;
	const bool wanted = options->sandbox == SANDBOX_ON;
	sandbox_allow(sandbox, SANDBOX_WRITE, "/dev/null");
	/* All of it: the directory of one process may be another one soon. What is another process's is closed to who is in the sandbox. */
	sandbox_allow(sandbox, SANDBOX_READ_BELOW, "/proc");
	/* The usual one is the system's, and always the same. */
	sandbox_allow(sandbox, options->has_spool_dir ? SANDBOX_MAKE_FILES_AGAIN : SANDBOX_MAKE_FILES, options->spool_dir);
	backend_needs(backend, sandbox);
	int r = sandbox_enter(sandbox, &missing);
	if (r == -ENOMEM)
		return error_set(error, r, "no memory");
	if (r < 0 && wanted)
		return error_set(error, r, "-o sandbox=on: this kernel has no %s; without the option ckfs does what it can", missing.text);
	if (*missing.text && (wanted || options->debug))
		log_line(wanted ? LOG_WARNING : LOG_DEBUG, "sandbox: without %s", missing.text);
	return 0;
}
