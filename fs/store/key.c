#include "ckfs/key.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* The text, and a NUL. NULL: no memory. */
static char *copy_text(const void *text, size_t length)
{
	char *copy = malloc(length + 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}

int key_from_text(const void *text, size_t length, struct key *ret)
{
	char *copy = copy_text(text, length);
	if (!copy)
		return -ENOMEM;
	*ret = (struct key){.text = copy, .length = length};
	crypto_generichash(ret->hash.bytes, KEY_HASH_SIZE, (const uint8_t *)copy, length, NULL, 0);
	return 0;
}

void key_from_hash(const struct key_hash *hash, struct key *ret)
{
	*ret = (struct key){.hash = *hash};
}

int key_copy(const struct key *key, struct key *ret)
{
	struct key copy = *key;
	if (key->text && !(copy.text = copy_text(key->text, key->length)))
		return -ENOMEM;
	*ret = copy;
	return 0;
}

void key_done(struct key *key)
{
	free(key->text);
	*key = (struct key){0};
}

void key_hash_to_hex(const struct key_hash *hash, char ret[KEY_HEX_SIZE + 1])
{
	sodium_bin2hex(ret, KEY_HEX_SIZE + 1, hash->bytes, KEY_HASH_SIZE);
}

/* One more than the value of a lower-case digit; 0: none. Listings read a hash for every name. */
static const uint8_t digit_plus_one[256] = {
	['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
	['a'] = 11, 12, 13, 14, 15, 16,
};

static int hex_digit(char c)
{
	return digit_plus_one[(uint8_t)c] - 1;
}

bool key_hash_from_hex(const char *hex, size_t n, struct key_hash *ret)
{
	struct key_hash hash;
	if (n != KEY_HEX_SIZE)
		return false;
	for (size_t i = 0; i < KEY_HASH_SIZE; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		hash.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*ret = hash;
	return true;
}

bool key_hash_equal(const struct key_hash *a, const struct key_hash *b)
{
	return memcmp(a->bytes, b->bytes, KEY_HASH_SIZE) == 0;
}

uint64_t key_hash_short(const struct key_hash *hash)
{
	uint64_t h;
	memcpy(&h, hash->bytes, sizeof h);
	return h;
}

static bool is_interop_part(const char *p, size_t n)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	static const char later[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
	if (n < 1 || n > 64 || !memchr(first, p[0], sizeof first - 1))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!memchr(later, p[i], sizeof later - 1) || (p[i] == '.' && p[i - 1] == '.'))
			return false;
	return true;
}

bool key_is_interop(const struct key *key)
{
	if (!key->text)
		return false;
	const char *end = key->text + key->length;
	const char *operation = memchr(key->text, ':', key->length);
	if (!operation)
		return false;
	operation++;
	const char *digest = memchr(operation, ':', (size_t)(end - operation));
	if (!digest || end - ++digest != 64)
		return false;
	for (const char *p = digest; p < end; p++)
		if (hex_digit(*p) < 0)
			return false;
	size_t namespace_length = (size_t)(operation - 1 - key->text);
	bool reserved = (namespace_length == 2 && memcmp(key->text, "ns", 2) == 0) ||
		(namespace_length == 5 && memcmp(key->text, "nsapi", 5) == 0);
	return !reserved && is_interop_part(key->text, namespace_length) &&
		is_interop_part(operation, (size_t)(digest - 1 - operation));
}
