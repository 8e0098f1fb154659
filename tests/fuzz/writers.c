#include "writers.h"

#include "ckfs/cleanup.h"
#include "fuzz.h"

#include <lz4.h>
#include <sodium.h>
#include <string.h>
#include <xxhash.h>

#define put_bytes(to, ...) buf_put(to, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

void write_prefix(struct buf *to, const void *document, size_t n)
{
	XXH64_canonical_t canonical;
	XXH64_canonicalFromHash(&canonical, XXH3_64bits(document, n));
	buf_put(to, canonical.digest, sizeof canonical.digest);
}

/* --- ByteStorage --- */

static void put_number(struct buf *to, uint8_t mark, size_t n)
{
	put_bytes(to, mark, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n);
}

static void put_text(struct buf *to, const char *text)
{
	put_bytes(to, (uint8_t)(0xa0 | strlen(text)));
	buf_puts(to, text);
}

static void put_octets(struct buf *to, const uint8_t *octets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (octets[i] < 0x80)
			put_bytes(to, octets[i]);
		else
			put_bytes(to, 0xcc, octets[i]);
}

static void put_name(struct buf *to, enum envelope_form form, const char *name)
{
	if (form == FORM_MAP)
		put_text(to, name);
}

static void put_data(struct buf *to, enum envelope_form form, const void *block, size_t n)
{
	put_name(to, form, "compressed_data");
	put_number(to, form == FORM_INTEGERS ? 0xdd : form == FORM_ODD ? 0xdb : 0xc6, n);
	if (form == FORM_INTEGERS)
		put_octets(to, block, n);
	else
		buf_put(to, block, n);
}

static void put_checksum(struct buf *to, enum envelope_form form, const void *document, size_t n)
{
	cleanup_with(buf_done) struct buf checksum = {0};
	put_name(to, form, "checksum");
	write_prefix(&checksum, document, n);
	if (form == FORM_ODD) {
		put_bytes(to, 0xc4, 8);
		buf_put(to, checksum.p, checksum.length);
	} else {
		put_bytes(to, 0x98);
		put_octets(to, (const uint8_t *)checksum.p, checksum.length);
	}
}

void write_envelope(struct buf *to, const void *document, size_t n, enum envelope_form form, const char *format)
{
	int room = LZ4_compressBound((int)n);
	cleanup_free char *block = malloc((size_t)room);
	CHECK(block);
	int compressed = LZ4_compress_default(document, block, (int)n, room);
	CHECK(compressed > 0);
	put_bytes(to, form == FORM_MAP ? 0x84 : 0x94);
	put_data(to, form, block, (size_t)compressed);
	put_checksum(to, form, document, n);
	put_name(to, form, "original_size");
	put_number(to, 0xce, n);
	put_name(to, form, "format");
	if (strlen(format) < 32)
		put_text(to, format);
	if (form == FORM_ODD)
		put_bytes(to, 0xc1);
}

/* --- the rest --- */

void write_numpy_head(struct buf *to, const char *dtype, const uint32_t *shape, unsigned ndim)
{
	size_t n = strlen(dtype), bytes = 4 * (size_t)ndim;
	buf_puts(to, "NUMPY_RAW");
	put_bytes(to, (uint8_t)n, (uint8_t)(n >> 8));
	buf_puts(to, dtype);
	put_bytes(to, (uint8_t)bytes, (uint8_t)(bytes >> 8));
	for (unsigned i = 0; i < ndim; i++)
		put_bytes(to, (uint8_t)shape[i], (uint8_t)(shape[i] >> 8), (uint8_t)(shape[i] >> 16), (uint8_t)(shape[i] >> 24));
}

void write_base64(struct buf *to, const void *bytes, size_t n)
{
	size_t room = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
	cleanup_free char *text = malloc(room);
	CHECK(text);
	buf_puts(to, sodium_bin2base64(text, room, bytes, n, sodium_base64_VARIANT_ORIGINAL));
}

/* The tenant's key, by the formula in keyring.h. */
static void derive(const uint8_t master[static 32], const char *tenant, uint8_t ret[static 32])
{
	cleanup_with(buf_done) struct buf salt = {0};
	crypto_auth_hmacsha256_state state;
	size_t n = strlen(tenant);
	buf_puts(&salt, "cachekit_v1_\x0a" "encryption");
	put_bytes(&salt, (uint8_t)(n >> 8), (uint8_t)n);
	buf_puts(&salt, tenant);
	crypto_auth_hmacsha256_init(&state, (const uint8_t *)salt.p, salt.length);
	crypto_auth_hmacsha256_update(&state, master, 32);
	crypto_auth_hmacsha256_final(&state, ret);
	crypto_auth_hmacsha256(ret, (const uint8_t *)"encryption\x01", 11, ret);
}

void write_fingerprint(const uint8_t master[static 32], const char *tenant, char ret[static 33])
{
	uint8_t text[18 + 32], hash[crypto_hash_sha256_BYTES];
	memcpy(text, "key_fingerprint_v1", 18);
	derive(master, tenant, text + 18);
	crypto_hash_sha256(hash, text, sizeof text);
	sodium_bin2hex(ret, 33, hash, 16);
}

static void put_part(struct buf *to, const void *bytes, size_t n)
{
	put_bytes(to, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n);
	buf_put(to, bytes, n);
}

void write_seal(struct buf *to, const uint8_t master[static 32], const struct seal *seal, uint8_t number, const void *bytes, size_t n)
{
	cleanup_with(buf_done) struct buf aad = {0};
	uint8_t key[32];
	cleanup_free uint8_t *sealed = calloc(1, n + SEAL_OVERHEAD);
	CHECK(sealed);
	derive(master, seal->tenant, key);
	put_bytes(&aad, 3);
	put_part(&aad, seal->tenant, strlen(seal->tenant));
	put_part(&aad, seal->key, seal->key_length);
	put_part(&aad, seal->format, strlen(seal->format));
	put_part(&aad, seal->compressed ? "True" : "False", seal->compressed ? 4 : 5);
	if (seal->original_type && *seal->original_type)
		put_part(&aad, seal->original_type, strlen(seal->original_type));
	sealed[0] = number;
	crypto_aead_aes256gcm_encrypt(sealed + SEAL_NONCE, NULL, bytes, n, (const uint8_t *)aad.p, aad.length, NULL, sealed, key);
	buf_put(to, sealed, n + SEAL_OVERHEAD);
}
