/*
 * A seal opens to what was sealed, and only under all that it was bound to.
 *
 * For any plaintext and binding: sealed again by the same key it is the same bytes; one bit changed in nonce, ciphertext or tag, or one
 * part of the binding, and it is refused with EBADMSG. Bytes that nobody sealed are refused.
 *
 * Input: a byte of flags, a position u16, then key, tenant, format and original type as texts with a byte of length each; then the plaintext.
 */
#include "ckfs/bytes.h"
#include "ckfs/cleanup.h"
#include "ckfs/keyring.h"
#include "fuzz.h"
#include "writers.h"

#include <errno.h>
#include <sodium.h>

#define MASTER "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"

static void free_keyring(struct keyring **keyring)
{
	keyring_free(*keyring);
}

/* Seals n bytes of text into n + SEAL_OVERHEAD. */
static void make_seal(const struct seal *seal, uint8_t number, const uint8_t *text, size_t n, uint8_t *ret)
{
	cleanup_with(buf_done) struct buf sealed = {0};
	uint8_t master[32];
	for (size_t i = 0; i < sizeof master; i++)
		master[i] = (uint8_t)(0xa0 + i);
	write_seal(&sealed, master, seal, number, text, n);
	memcpy(ret, sealed.p, sealed.length);
}

/* The next text of the input, of at least one byte that is no NUL. */
static void take_text(struct bytes *b, char ret[static 256])
{
	const uint8_t *p = (const uint8_t *)"x";
	uint8_t n = 0;
	if (!bytes_u8(b, &n) || n == 0 || !bytes_take(b, n, &p))
		n = 1;
	for (size_t i = 0; i < n; i++)
		ret[i] = (char)(p[i] ? p[i] : 'x');
	ret[n] = '\0';
}

/* Opens a copy: opening is in place. 0 and the plaintext in `to`, n - SEAL_OVERHEAD bytes. */
static int open_copy(const struct keyring *keyring, const struct seal *seal, const uint8_t *sealed, size_t n, uint8_t *to)
{
	cleanup_free uint8_t *copy = malloc(n ? n : 1);
	CHECK(copy);
	memcpy(copy, sealed, n);
	int r = seal_open(keyring, 0, seal, copy, n);
	if (r == 0 && n > SEAL_OVERHEAD)
		memcpy(to, copy + SEAL_NONCE, n - SEAL_OVERHEAD);
	return r;
}

/* The same binding with one part changed. */
static struct seal changed(const struct seal *seal, unsigned which)
{
	struct seal other = *seal;
	if (which == 0)
		other.compressed = !other.compressed;
	else if (which == 1)
		other.tenant = strcmp(seal->tenant, "other") ? "other" : "another";
	else if (which == 2)
		other.format = strcmp(seal->format, "other") ? "other" : "another";
	else if (which == 3)
		other.original_type = seal->original_type && *seal->original_type ? "" : "other";
	else
		other.key_length = seal->key_length > 1 ? seal->key_length - 1 : 2;
	return other;
}

static void check_changes(const struct keyring *keyring, const struct seal *seal, uint8_t *sealed, size_t n, unsigned bit, uint8_t *to)
{
	struct seal other = changed(seal, bit % 5);
	CHECK(open_copy(keyring, &other, sealed, n, to) == -EBADMSG);
	bit %= (unsigned)(8 * n);
	sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	CHECK(open_copy(keyring, seal, sealed, n, to) == -EBADMSG);
	sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	CHECK(open_copy(keyring, seal, sealed, n - 1, to) == (n > SEAL_OVERHEAD ? -EBADMSG : -EUCLEAN));
}

static void check_seal(const struct keyring *keyring, const struct seal *seal, unsigned bit, const uint8_t *text, size_t n)
{
	size_t size = n + SEAL_OVERHEAD;
	cleanup_free uint8_t *sealed = calloc(1, size);
	cleanup_free uint8_t *again = calloc(1, size);
	cleanup_free uint8_t *opened = malloc(size);
	CHECK(sealed && again && opened);
	make_seal(seal, (uint8_t)bit, text, n, sealed);
	CHECK(open_copy(keyring, seal, sealed, size, opened) == 0);
	make_seal(seal, (uint8_t)bit, opened, n, again);
	CHECK(memcmp(sealed, again, size) == 0);
	check_changes(keyring, seal, sealed, size, bit, opened);
	CHECK(open_copy(keyring, seal, text, n, opened) == (n < SEAL_OVERHEAD ? -EUCLEAN : -EBADMSG));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_of(data, size);
	struct error error;
	char key[256], tenant[256], format[256], original_type[256];
	uint8_t flags = 0;
	uint16_t bit = 0;
	cleanup_with(free_keyring) struct keyring *keyring = NULL;
	CHECK(sodium_init() >= 0 && keyring_new(MASTER, "", NULL, NULL, &keyring, &error) == 0);
	(void)(bytes_u8(&b, &flags) && bytes_u16be(&b, &bit));
	take_text(&b, key);
	take_text(&b, tenant);
	take_text(&b, format);
	take_text(&b, original_type);
	const struct seal seal = {.tenant = tenant, .key = key, .key_length = strlen(key), .format = format, .compressed = flags & 1,
		.original_type = flags & 2 ? original_type : flags & 4 ? "" : NULL};
	check_seal(keyring, &seal, bit, b.left ? b.p : (const uint8_t *)"", b.left);
	return 0;
}
