/*
 * Keeps keys private: takes them out of the environment, where others could see them, and hides the process's memory.
 */
#ifndef CKFS_SECRETS_H
#define CKFS_SECRETS_H

#include "ckfs/error.h"
#include "ckfs/keyring.h"
#include "ckfs/options.h"

/*
 * After this only root may look into this process (memory, environment), and it leaves no core dump. Also without keys, since a SOURCE may hold
 * a password. Call it at the beginning of main().
 */
void secrets_harden(void);

/* Reads one of the words that the SDK's settings take for a bool. 0, -EINVAL. */
int setting_read_bool(const char *text, bool *ret);

/* Reads a number of the environment, as the SDK's settings take it; `usual`: where the variable is not set. 0; -EINVAL with the error set. */
int setting_read_number(const char *name, uint64_t usual, uint64_t min, uint64_t max, uint64_t *ret, struct error *error);

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
