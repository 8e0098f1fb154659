#include "keyring_private.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* The spec's "at least 32 bytes". */
#define MASTER_MIN 32

#define SALT_NAME "cachekit_v1_"
#define DOMAIN "encryption"
#define FINGERPRINT_NAME "key_fingerprint_v1"
#define FINGERPRINT_SIZE 16

#define UUID_TEXT_SIZE 36

/* Longer than any spelling of a UUID that somebody would use. */
#define UUID_SPELLING_MAX 255

struct keyring {
	size_t size; /* of this memory */
	unsigned count;
	size_t start[KEYRING_MAX + 1]; /* key i is bytes[start[i]] to before bytes[start[i + 1]] */
	char deployment[UUID_TEXT_SIZE + 1];
	uint8_t bytes[];
};

/* What may stand between two bytes of hex; it is what Python's bytes.fromhex() skips. */
static const char between_bytes[] = " \t\n\v\f\r";

/* What Python's str.strip() takes off, in UTF-8. */
static const char *const spaces[] = {
	" ", "\t", "\n", "\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x1f", "\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002",
	"\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
};

/* How long a space the n bytes begin with, or end with; 0: none. */
static size_t space_at(const char *text, size_t n, bool at_end)
{
	for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
		size_t m = strlen(spaces[i]);
		if (m <= n && memcmp(at_end ? text + n - m : text, spaces[i], m) == 0)
			return m;
	}
	return 0;
}

static void strip(const char **text, size_t *n)
{
	size_t m;
	while ((m = space_at(*text, *n, false)) > 0) {
		*text += m;
		*n -= m;
	}
	while ((m = space_at(*text, *n, true)) > 0)
		*n -= m;
}

/* Decodes one key behind those that are there. `origin` and `position` (0: none) are for the error. */
static int add_key(struct keyring *k, const char *hex, size_t n, const char *origin, unsigned position, struct error *error)
{
	char which[24] = "";
	size_t at = k->start[k->count], length = 0;
	if (position > 0)
		snprintf(which, sizeof which, " key %u:", position);
	if (sodium_hex2bin(k->bytes + at, n / 2, hex, n, between_bytes, &length, NULL) < 0)
		return error_set(error, -EINVAL, "%.200s:%s not hex; a master key is at least 64 hex digits", origin, which);
	if (length < MASTER_MIN)
		return error_set(error, -EINVAL, "%.200s:%s only %zu bytes; a master key has at least 32, which are 64 hex digits", origin, which,
			length);
	k->start[++k->count] = at + length;
	return 0;
}

static bool is_current_key(const struct keyring *k, unsigned number)
{
	size_t n = k->start[1];
	return k->start[number + 1] - k->start[number] == n && sodium_memcmp(k->bytes, k->bytes + k->start[number], n) == 0;
}

/* Decodes the comma-separated list. Empty items do not count, as in the SDK. */
static int add_previous(struct keyring *k, const char *list, bool has_current, struct error *error)
{
	static const char name[] = "CACHEKIT_PREVIOUS_MASTER_KEYS";
	unsigned position = 0;
	for (const char *end; list; list = *end ? end + 1 : NULL) {
		end = list + strcspn(list, ",");
		const char *item = list;
		size_t n = (size_t)(end - list);
		strip(&item, &n);
		if (n == 0)
			continue;
		if (++position == KEYRING_MAX)
			return error_set(error, -EINVAL, "%s: more than %d keys; take out keys with which no entry is sealed any more", name, KEYRING_MAX - 1);
		int r = add_key(k, item, n, name, position, error);
		if (r < 0)
			return r;
		if (has_current && is_current_key(k, k->count - 1))
			return error_set(error, -EINVAL, "%s: key %u is the current key; take it out: only keys that were replaced belong here",
				name, position);
	}
	return 0;
}

static void remove_all(char *text, const char *what)
{
	size_t n = strlen(what);
	char *to = text;
	for (const char *from = text; *from;) {
		if (strncmp(from, what, n) == 0)
			from += n;
		else
			*to++ = *from++;
	}
	*to = '\0';
}

/* Reduces a spelling of a UUID that Python's uuid.UUID() takes to its 32 digits. (It would take "+", "0x" and "_" among them too.) */
static bool reduce_uuid(char *text)
{
	remove_all(text, "urn:");
	remove_all(text, "uuid:");
	size_t n = strlen(text), skip = strspn(text, "{}");
	while (n > skip && strchr("{}", text[n - 1]))
		n--;
	text[n] = '\0';
	memmove(text, text + skip, n - skip + 1);
	remove_all(text, "-");
	return strlen(text) == 32 && strspn(text, "0123456789abcdefABCDEF") == 32;
}

/* The SDK seals with the canonical spelling. An error never shows the text: somebody may have put a key there. */
static int read_deployment(const char *uuid, char ret[static UUID_TEXT_SIZE + 1], struct error *error)
{
	char text[UUID_SPELLING_MAX + 1] = "";
	size_t n = uuid ? strlen(uuid) : 0;
	if (n == 0) {
		strcpy(ret, KEYRING_DEFAULT_TENANT);
		return 0;
	}
	if (n < sizeof text)
		memcpy(text, uuid, n + 1);
	bool good = reduce_uuid(text);
	for (size_t from = 0, to = 0; good && from < 32; from++) {
		if (from == 8 || from == 12 || from == 16 || from == 20)
			ret[to++] = '-';
		ret[to++] = (char)tolower((unsigned char)text[from]);
		ret[to] = '\0';
	}
	sodium_memzero(text, sizeof text);
	return good ? 0 : error_set(error, -EINVAL, "CACHEKIT_DEPLOYMENT_UUID: not a UUID; give the one the application has, or unset it");
}

/* Memory for all keys that these texts can hold. */
static struct keyring *allocate(size_t hex_digits)
{
	struct keyring *k = NULL;
	/* A multiple of what the fields are aligned to: such memory ends with its page. */
	size_t align = _Alignof(struct keyring), size;
	if (__builtin_add_overflow(hex_digits / 2, sizeof *k + align, &size))
		return NULL;
	size -= size % align;
	k = sodium_malloc(size);
	if (k)
		*k = (struct keyring){.size = size};
	return k;
}

static int read_keys(struct keyring *k, const char *master, const char *origin, const char *previous, const char *deployment,
	struct error *error)
{
	int r = read_deployment(deployment, k->deployment, error);
	if (r == 0 && master)
		r = add_key(k, master, strlen(master), origin, 0, error);
	if (r == 0)
		r = add_previous(k, previous, master != NULL, error);
	if (r == 0 && master && !crypto_aead_aes256gcm_is_available())
		r = error_set(error, -ENOTSUP,
			"this machine has no AES instructions, which sealed entries need; unset CACHEKIT_MASTER_KEY to mount without them");
	return r;
}

int keyring_new(const char *master, const char *origin, const char *previous, const char *deployment, struct keyring **ret,
	struct error *error)
{
	if (master && !*master)
		master = NULL;
	struct keyring *k = allocate((master ? strlen(master) : 0) + (previous ? strlen(previous) : 0));
	if (!k)
		return error_set(error, -ENOMEM, "no memory for the master keys");
	int r = read_keys(k, master, origin, previous, deployment, error);
	if (r < 0 || !master) {
		keyring_free(k);
		k = NULL;
	}
	if (r == 0)
		*ret = k;
	return r;
}

void keyring_free(struct keyring *keyring)
{
	sodium_free(keyring);
}

void keyring_lock(struct keyring *keyring)
{
	/* Where RLIMIT_MEMLOCK allows none, keys may be swapped out; that is no reason not to mount. */
	if (keyring)
		(void)sodium_mlock(keyring, keyring->size);
}

unsigned keyring_count(const struct keyring *keyring)
{
	return keyring->count;
}

const char *keyring_deployment(const struct keyring *keyring)
{
	return keyring->deployment;
}

/* HMAC-SHA256 of up to two pieces. */
static void hmac(const void *key, size_t key_length, const void *a, size_t n, const void *b, size_t m,
	uint8_t ret[static crypto_auth_hmacsha256_BYTES])
{
	crypto_auth_hmacsha256_state state;
	crypto_auth_hmacsha256_init(&state, key, key_length);
	crypto_auth_hmacsha256_update(&state, a, n);
	crypto_auth_hmacsha256_update(&state, b, m);
	crypto_auth_hmacsha256_final(&state, ret);
	sodium_memzero(&state, sizeof state);
}

/* The salt; returns its length. */
static size_t make_salt(const char *tenant, size_t n, uint8_t ret[static sizeof SALT_NAME + 1 + sizeof DOMAIN + 2 + KEYRING_TENANT_MAX])
{
	uint8_t *p = mempcpy(ret, SALT_NAME, strlen(SALT_NAME));
	*p++ = (uint8_t)strlen(DOMAIN);
	p = mempcpy(p, DOMAIN, strlen(DOMAIN));
	*p++ = (uint8_t)(n >> 8);
	*p++ = (uint8_t)n;
	p = mempcpy(p, tenant, n);
	return (size_t)(p - ret);
}

int keyring_derive(const struct keyring *keyring, unsigned number, const char *tenant, uint8_t ret[static KEYRING_KEY_SIZE])
{
	uint8_t salt[sizeof SALT_NAME + 1 + sizeof DOMAIN + 2 + KEYRING_TENANT_MAX];
	uint8_t extracted[crypto_auth_hmacsha256_BYTES];
	const size_t *start = &keyring->start[number];
	size_t n = tenant ? strlen(tenant) : 0;
	if (n == 0 || n > KEYRING_TENANT_MAX)
		return -EUCLEAN;
	/* HKDF (RFC 5869): extract, then the first block of expand, which is as long as the key. */
	hmac(salt, make_salt(tenant, n, salt), keyring->bytes + start[0], start[1] - start[0], "", 0, extracted);
	hmac(extracted, sizeof extracted, DOMAIN, strlen(DOMAIN), "\x01", 1, ret);
	sodium_memzero(extracted, sizeof extracted);
	return 0;
}

static void make_fingerprint(const uint8_t key[static KEYRING_KEY_SIZE], char ret[static 2 * FINGERPRINT_SIZE + 1])
{
	crypto_hash_sha256_state state;
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, (const uint8_t *)FINGERPRINT_NAME, strlen(FINGERPRINT_NAME));
	crypto_hash_sha256_update(&state, key, KEYRING_KEY_SIZE);
	crypto_hash_sha256_final(&state, hash);
	sodium_memzero(&state, sizeof state);
	sodium_bin2hex(ret, 2 * FINGERPRINT_SIZE + 1, hash, FINGERPRINT_SIZE);
}

int keyring_choose(const struct keyring *keyring, const char *tenant, const char *fingerprint)
{
	char made[2 * FINGERPRINT_SIZE + 1];
	uint8_t key[KEYRING_KEY_SIZE];
	for (unsigned i = 0; i < keyring->count; i++) {
		int r = keyring_derive(keyring, i, tenant, key);
		if (r < 0)
			return r;
		make_fingerprint(key, made);
		sodium_memzero(key, sizeof key);
		if (fingerprint && strcmp(made, fingerprint) == 0)
			return (int)i;
	}
	return -ENOKEY;
}
