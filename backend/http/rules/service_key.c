#include "service_key.h"

#include <string.h>

#define KEY_MAX 400
#define NAMESPACE_MAX 64

static bool is_in_namespace(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_in_key(char c)
{
	return is_in_namespace(c) || c == '.' || c == ':';
}

static bool is_reserved(const char *key, size_t n)
{
	static const char *const reserved[] = {".", "health", "ttl", "lock"};
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (n == strlen(reserved[i]) && memcmp(key, reserved[i], n) == 0)
			return true;
	return false;
}

/* What stands behind "ns:": a namespace, a colon, and something. */
static bool has_namespace(const char *rest, size_t n)
{
	size_t i = 0;
	while (i < n && is_in_namespace(rest[i]))
		i++;
	return i >= 1 && i <= NAMESPACE_MAX && n - i >= 2 && rest[i] == ':';
}

bool service_can_hold(const char *key, size_t n)
{
	static const char *const beginnings[] = {"ns:", "nsapi:"};
	if (n == 0 || n > KEY_MAX || is_reserved(key, n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_in_key(key[i]) || (key[i] == '.' && i > 0 && key[i - 1] == '.'))
			return false;
	for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
		const size_t m = strlen(beginnings[i]);
		if (n >= m && memcmp(key, beginnings[i], m) == 0)
			return has_namespace(key + m, n - m);
	}
	return true;
}
