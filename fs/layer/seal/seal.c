/*
 * The seal: AES-256-GCM with the tenant's key, bound to what the frame and the key say.
 *
 *   sealed   nonce (12) | ciphertext | tag (16)
 *   AAD      0x03 | LP32(tenant) | LP32(cache key) | LP32(format) | LP32("True" or "False") [ | LP32(original_type) ]
 *   LP32(x)  length u32 BE | x
 */
#include "ckfs/cleanup.h"
#include "keyring_private.h"

#include <errno.h>
#include <string.h>

#define AAD_VERSION 3
#define AAD_PARTS 5

struct part {
	const void *bytes;
	size_t length;
};

static struct part part_of_text(const char *text)
{
	return (struct part){text, strlen(text)};
}

/* The bound parts in their order; the last one is left out when there is no original type. */
static size_t list_parts(const struct seal *seal, struct part ret[static AAD_PARTS])
{
	ret[0] = part_of_text(seal->tenant);
	ret[1] = (struct part){seal->key, seal->key_length};
	ret[2] = part_of_text(seal->format);
	ret[3] = part_of_text(seal->compressed ? "True" : "False");
	ret[4] = part_of_text(seal->original_type ? seal->original_type : "");
	return ret[4].length > 0 ? AAD_PARTS : AAD_PARTS - 1;
}

/* 0; -EUCLEAN a part that is too long to be bound; -ENOMEM. */
static int make_aad(const struct seal *seal, uint8_t **ret, size_t *ret_length)
{
	struct part parts[AAD_PARTS];
	size_t count = list_parts(seal, parts), length = 1;
	for (size_t i = 0; i < count; i++)
		if (parts[i].length > UINT32_MAX || __builtin_add_overflow(length, 4 + parts[i].length, &length))
			return -EUCLEAN;
	uint8_t *aad = malloc(length), *p = aad;
	if (!aad)
		return -ENOMEM;
	*p++ = AAD_VERSION;
	for (size_t i = 0; i < count; i++) {
		for (unsigned shift = 32; shift > 0; shift -= 8)
			*p++ = (uint8_t)(parts[i].length >> (shift - 8));
		p = mempcpy(p, parts[i].bytes, parts[i].length);
	}
	*ret = aad;
	*ret_length = length;
	return 0;
}

int seal_open(const struct keyring *keyring, unsigned number, const struct seal *seal, uint8_t *sealed, size_t n)
{
	uint8_t key[KEYRING_KEY_SIZE];
	crypto_aead_aes256gcm_state state;
	cleanup_free uint8_t *aad = NULL;
	size_t aad_length;
	/* The SDK binds no entry to an empty key, and libsodium ends the process when asked for more than GCM can count. */
	if (n < SEAL_OVERHEAD || n - SEAL_OVERHEAD > crypto_aead_aes256gcm_MESSAGEBYTES_MAX || seal->key_length == 0)
		return -EUCLEAN;
	int r = keyring_derive(keyring, number, seal->tenant, key);
	if (r < 0)
		return r;
	r = make_aad(seal, &aad, &aad_length);
	if (r == 0) {
		uint8_t *text = sealed + SEAL_NONCE;
		const uint8_t *tag = sealed + n - SEAL_TAG;
		crypto_aead_aes256gcm_beforenm(&state, key);
		if (crypto_aead_aes256gcm_decrypt_detached_afternm(text, NULL, text, n - SEAL_OVERHEAD, tag, aad, aad_length, sealed, &state) < 0)
			r = -EBADMSG;
		sodium_memzero(&state, sizeof state);
	}
	sodium_memzero(key, sizeof key);
	return r;
}
