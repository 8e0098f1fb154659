#include "service_url.h"

#include "backend/remote/url.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PORT 443

static const char *const known_hosts[] = {"api.cachekit.io", "api.staging.cachekit.io"};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter_or_digit(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool consists_of(struct part part, const char *others)
{
	for (size_t i = 0; i < part.n; i++)
		if (!part.p[i] || (!is_letter_or_digit(part.p[i]) && !strchr(others, part.p[i])))
			return false;
	return true;
}

/* "[ADDRESS]" or a name, without the brackets; *place goes on behind it. */
static int read_host(struct part *place, struct part *ret, bool *ret_is_ipv6, struct error *error)
{
	struct in6_addr ignored;
	char text[INET6_ADDRSTRLEN];
	struct part host;
	*ret_is_ipv6 = place->n > 0 && place->p[0] == '[';
	if (*ret_is_ipv6) {
		part_skip(place, 1);
		host = part_take_until(place, "]");
		if (place->n == 0)
			return error_set(error, -EINVAL, "https://: a '[' without its ']'");
		part_skip(place, 1);
		struct part rest = host;
		const struct part address = part_take_until(&rest, "%");
		if (address.n >= sizeof text || !consists_of(address, ":.") || !consists_of(rest, "%-._~"))
			return error_set(error, -EINVAL, "https://: not an IPv6 address in the brackets");
		memcpy(text, address.p, address.n);
		text[address.n] = '\0';
		if (inet_pton(AF_INET6, text, &ignored) != 1)
			return error_set(error, -EINVAL, "https://: not an IPv6 address in the brackets");
	} else {
		host = part_take_until(place, ":");
		if (host.n == 0)
			return error_set(error, -EINVAL, "https://: no host; it is https://HOST");
		if (!consists_of(host, "-._"))
			return error_set(error, -EINVAL, "https://: the host has a character that no host has; write an international name as xn--…");
	}
	*ret = host;
	return 0;
}

static int read_port(struct part text, int *ret, struct error *error)
{
	long port = 0;
	bool is_number = text.n == 0 || text.p[0] == ':';
	for (size_t i = 1; is_number && i < text.n; i++) {
		is_number = is_digit(text.p[i]) && port <= 65535;
		port = port * 10 + (text.p[i] - '0');
	}
	if (!is_number || port > 65535 || (text.n > 1 && port == 0))
		return error_set(error, -EINVAL, "https://: the port is not a number from 1 to 65535");
	*ret = text.n > 1 ? (int)port : PORT;
	return 0;
}

static int check_path(struct part path, struct error *error)
{
	bool is_sound = consists_of(path, "/-._~!$&'()*+,;=:@%");
	for (size_t i = 0; is_sound && i < path.n; i++)
		is_sound = path.p[i] != '%' || (path.n - i > 2 && is_hex(path.p[i + 1]) && is_hex(path.p[i + 2]));
	return is_sound ? 0 : error_set(error, -EINVAL, "https://: the path has a character that has to be written as %%XX");
}

static void make_lower(char *text)
{
	for (; *text; text++)
		*text = (char)tolower((unsigned char)*text);
}

static int fill_in(struct part host, bool is_ipv6, int port, struct part path, struct service_url *ret, struct error *error)
{
	struct buf base = {0};
	char *own = strndup(host.p, host.n);
	if (own)
		make_lower(own);
	while (path.n > 0 && path.p[path.n - 1] == '/')
		path.n--;
	buf_puts(&base, "https://");
	/* A URL has the '%' of a zone as an escape. */
	const char *zone = own && is_ipv6 ? strchr(own, '%') : NULL;
	if (zone)
		buf_printf(&base, "[%.*s%%25%s]", (int)(zone - own), own, strncmp(zone, "%25", 3) == 0 ? zone + 3 : zone + 1);
	else if (own)
		buf_printf(&base, is_ipv6 ? "[%s]" : "%s", own);
	if (port != PORT)
		buf_printf(&base, ":%d", port);
	buf_put(&base, path.p, path.n);
	buf_put(&base, "", 1);
	if (!own || base.failed) {
		free(own);
		buf_done(&base);
		return error_set(error, -ENOMEM, "no memory");
	}
	*ret = (struct service_url){.host = own, .port = port, .base = base.p};
	return 0;
}

int service_url_read(const char *location, struct service_url *ret, struct error *error)
{
	struct part rest = {location, strlen(location)}, host = {NULL, 0};
	bool is_ipv6 = false;
	int port = PORT;
	/* Parsers differ on where a host ends that has one. */
	if (strchr(location, '\\'))
		return error_set(error, -EINVAL, "https://: a URL has no backslash");
	struct part place = part_take_until(&rest, "/?#");
	const struct part path = part_take_until(&rest, "?#");
	if (memchr(place.p, '@', place.n))
		return error_set(error, -EINVAL, "https://: no user and no password here: the service wants a token, in CACHEKIT_API_KEY or a file (-o token_file=FILE)");
	int r = read_host(&place, &host, &is_ipv6, error);
	if (r == 0)
		r = read_port(place, &port, error);
	if (r == 0)
		r = check_path(path, error);
	return r < 0 ? r : fill_in(host, is_ipv6, port, path, ret, error);
}

void service_url_done(struct service_url *url)
{
	free(url->host);
	free(url->base);
	*url = (struct service_url){.host = NULL};
}

/* --- which hosts --- */

/* Of this machine, of private networks, and what tells a cloud's secrets. */
static bool is_private_ipv4(uint32_t address)
{
	static const struct {
		uint32_t network;
		int bits;
	} private[] = {{0x7f000000, 8}, {0x0a000000, 8}, {0xac100000, 12}, {0xc0a80000, 16}, {0xa9fe0000, 16}, {0x00000000, 8}};
	for (size_t i = 0; i < sizeof private / sizeof *private; i++)
		if ((address ^ private[i].network) >> (32 - private[i].bits) == 0)
			return true;
	return false;
}

static bool is_private_ipv6(const struct in6_addr *address)
{
	const uint8_t *b = address->s6_addr;
	if (IN6_IS_ADDR_V4MAPPED(address))
		return is_private_ipv4((uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 | (uint32_t)b[14] << 8 | b[15]);
	return IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_UNSPECIFIED(address) || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) || (b[0] & 0xfe) == 0xfc;
}

static bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);
	return n >= m && strcmp(text + n - m, end) == 0;
}

/* As a resolver reads it, so in every spelling of an address. `host` is changed. */
static bool is_private(char *host)
{
	struct in6_addr ipv6;
	struct in_addr ipv4;
	for (size_t n = strlen(host); n > 0 && host[n - 1] == '.'; n--)
		host[n - 1] = '\0';
	host[strcspn(host, "%")] = '\0';
	if (strcmp(host, "localhost") == 0 || ends_in(host, ".localhost"))
		return true;
	if (inet_pton(AF_INET6, host, &ipv6) == 1)
		return is_private_ipv6(&ipv6);
	return inet_aton(host, &ipv4) != 0 && is_private_ipv4(ntohl(ipv4.s_addr));
}

int service_url_check_host(const struct service_url *url, bool allow_custom_host, struct error *error)
{
	cleanup_free char *copy = strdup(url->host);
	if (!copy)
		return error_set(error, -ENOMEM, "no memory");
	if (is_private(copy))
		return error_set(error, -EINVAL, "CACHEKIT_API_URL: %.200s is a private or local address, which the SDK refuses; name it as SOURCE (%.200s) if you trust it",
			url->host, url->base);
	for (size_t i = 0; i < sizeof known_hosts / sizeof *known_hosts; i++)
		if (strcmp(url->host, known_hosts[i]) == 0)
			return 0;
	return allow_custom_host ? 0 : error_set(error, -EINVAL, "CACHEKIT_API_URL: %.200s is not a host of CacheKit; set CACHEKIT_ALLOW_CUSTOM_HOST=true if you trust it",
		url->host);
}
