/* How a key for sealed payloads is made of a master key. */
#ifndef CKFS_KEYRING_PRIVATE_H
#define CKFS_KEYRING_PRIVATE_H

#include "ckfs/keyring.h"

#include <sodium.h>

#define KEYRING_KEY_SIZE crypto_aead_aes256gcm_KEYBYTES

/* Derives the tenant's key from master key `number`; the caller wipes it. 0; -EUCLEAN there is no key for such a tenant. */
int keyring_derive(const struct keyring *keyring, unsigned number, const char *tenant, uint8_t ret[static KEYRING_KEY_SIZE]);

#endif
