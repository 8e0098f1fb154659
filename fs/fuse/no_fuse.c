/* A build without libfuse. */
#include "run.h"

#include <errno.h>

int mount_run(struct options *options, int argc, char **argv, struct error *error)
{
	options_forget_source(options, argc, argv);
	return error_set(error, -ENOTSUP, "this build has no libfuse and cannot mount: use ckfs ls, cat, stat (ckfs --help)");
}

const char *mount_library(void)
{
	return "no libfuse";
}
