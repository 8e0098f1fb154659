/* What a SOURCE is served with, by a mount or by a command without one: opened once, before there are threads. */
#ifndef CKFS_OPENED_H
#define CKFS_OPENED_H

#include "ckfs/backend.h"
#include "ckfs/error.h"
#include "ckfs/keyring.h"
#include "ckfs/known_keys.h"
#include "ckfs/options.h"
#include "ckfs/sandbox.h"

struct opened {
	struct keyring *keyring; /* NULL: no key is configured */
	struct known_keys *known;
	struct backend *backend;
	char *source; /* without secrets */
};

/*
 * Reads the keys, and opens the SOURCE. Whatever the outcome, passwords are gone from the arguments afterwards, keys from the environment, and
 * descriptors that were inherited are closed. 0; -errno with the error set. opened_done() closes it, also after a failure.
 */
int opened_begin(struct options *options, int argc, char **argv, struct opened *ret, struct error *error);
void opened_done(struct opened *opened);

/*
 * Enters the sandbox with what `sandbox` allows already, and what reading and writing a SOURCE needs. 0, also where the kernel has none, unless it was
 * asked for; -errno with the error set.
 */
int opened_confine(const struct backend *backend, const struct options *options, struct sandbox *sandbox, struct error *error);

#endif
