/*
 * What a process that holds keys owes its user: keys are taken from where they lie open, and memory stays private.
 */
#ifndef CKFS_SECRETS_H
#define CKFS_SECRETS_H

#include "ckfs/error.h"
#include "ckfs/keyring.h"
#include "ckfs/options.h"

/*
 * From here on nobody but root may look into this process (its memory, its environment), and it leaves no core dump: with keys and
 * without, since a SOURCE may hold a password. The first thing main() does.
 */
void secrets_harden(void);

/*
 * Reads the keys: CACHEKIT_MASTER_KEY, or the file of -o master_key_file, which wins; CACHEKIT_PREVIOUS_MASTER_KEYS, CACHEKIT_DEPLOYMENT_UUID.
 * CACHEKIT_ENCRYPTION_FAIL_CLOSED turns options->fail_closed on. Whatever the outcome, these variables are gone from the environment
 * afterwards, and their values wiped where /proc/PID/environ shows them. Before there are threads.
 *
 * 0 and *ret, NULL when there is no key (previous keys alone are none, as for the SDK); else a negative errno with the error set, which never
 * holds a key.
 */
int secrets_open(struct options *options, struct keyring **ret, struct error *error);

#endif
