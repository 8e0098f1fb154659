/*
 * The keyring: master keys, and what is derived from them to open sealed payloads.
 *
 *   key          HKDF-SHA256(master key, salt, info = "encryption"), 32 bytes
 *   salt         "cachekit_v1_" | u8 length of "encryption" | "encryption" | u16 BE length of tenant | tenant
 *   fingerprint  SHA-256("key_fingerprint_v1" | key)[0..16]
 *
 * Keys live in memory that is locked where that is allowed, left out of core dumps, and wiped.
 */
#ifndef CKFS_KEYRING_H
#define CKFS_KEYRING_H

#include "ckfs/error.h"
#include "ckfs/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The current key is number 0; up to three previous ones follow. */
#define KEYRING_MAX 4

struct keyring;

/*
 * `master`: the current key in hex; NULL or "": none, then *ret is NULL and the others are only checked. `origin`: what an error calls it
 * (CACHEKIT_MASTER_KEY, or the file it came from). `previous`: comma-separated hex, or NULL. `deployment`: the tenant of sealed interop
 * values (a UUID), NULL or "". Verdicts are those of the SDK's settings. sodium_init() must have been called.
 *
 * 0; -EINVAL with the error set, which never holds a key; -ENOTSUP (with the error set) when this machine has no AES instructions; -ENOMEM.
 * keyring_free() wipes.
 */
int keyring_new(const char *master, const char *origin, const char *previous, const char *deployment, struct keyring **ret,
	struct error *error);
void keyring_free(struct keyring *keyring);

/* Locks the keys' memory, best effort: again after a fork, which drops locks. NULL: nothing to lock. */
void keyring_lock(struct keyring *keyring);

unsigned keyring_count(const struct keyring *keyring);

/* The tenant of sealed interop values: CACHEKIT_DEPLOYMENT_UUID, else "default". */
const char *keyring_deployment(const struct keyring *keyring);

/* A tenant has at most so many bytes, and at least one. */
#define KEYRING_TENANT_MAX 1024

/* The tenant of those who name none. */
#define KEYRING_DEFAULT_TENANT "default"

/* Which key a fingerprint (32 hex digits, as in the frame; may be NULL) names for a tenant: its number; -ENOKEY none; -EUCLEAN no key can be derived for such a tenant (NULL, empty, too long). */
int keyring_choose(const struct keyring *keyring, const char *tenant, const char *fingerprint);

/* nonce (12) | ciphertext | tag (16) */
#define SEAL_NONCE 12
#define SEAL_TAG 16
#define SEAL_OVERHEAD (SEAL_NONCE + SEAL_TAG)

/* AES-GCM seals no more at a time. */
#define SEAL_MAX ((UINT64_C(1) << 36) - 32 + SEAL_OVERHEAD)

/* What a sealed payload is bound to (AAD version 3). Strings are borrowed. */
struct seal {
	const char *tenant;
	const void *key; /* the cache key, as the backend stores it */
	size_t key_length;
	const char *format;
	bool compressed;
	const char *original_type; /* NULL or "": none */
};

/*
 * Opens a sealed payload in place: the plaintext then lies at sealed + SEAL_NONCE, n - SEAL_OVERHEAD bytes. On failure the buffer's content is void.
 * 0; -EUCLEAN under SEAL_OVERHEAD bytes or over what the cipher can seal, no cache key, or no key can be derived for the tenant; -EBADMSG the tag
 * does not match; -ENOMEM.
 */
int seal_open(const struct keyring *keyring, unsigned number, const struct seal *seal, uint8_t *sealed, size_t n);

#endif
