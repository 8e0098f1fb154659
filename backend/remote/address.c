#include "address.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool address_equal(const struct address *a, const struct address *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* ":port", or nothing. */
static int read_port(struct part text, const char *scheme, int usual_port, int *ret, struct error *error)
{
	char digits[8] = "", *end;
	if (text.n < 2) {
		*ret = usual_port;
		return 0;
	}
	if (text.p[0] == ':' && text.n - 1 < sizeof digits)
		memcpy(digits, text.p + 1, text.n - 1);
	long port = strtol(digits, &end, 10);
	if (end == digits || *end || port < 0 || port > 65535)
		return error_set(error, -EINVAL, "%s: the port is not a number up to 65535", scheme);
	*ret = port > 0 ? (int)port : usual_port;
	return 0;
}

int host_read(struct part place, const char *scheme, int usual_port, char **ret_host, int *ret_port, struct error *error)
{
	struct part host;
	int port = usual_port;
	if (place.n > 0 && place.p[0] == '[') {
		part_skip(&place, 1);
		host = part_take_until(&place, "]");
		if (place.n == 0)
			return error_set(error, -EINVAL, "%s: a '[' without its ']'", scheme);
		part_skip(&place, 1);
	} else {
		host = part_take_until(&place, ":");
	}
	int r = read_port(place, scheme, usual_port, &port, error);
	if (r == 0)
		r = part_decode(host.n ? host : (struct part){"localhost", 9}, false, ret_host, error);
	if (r == 0)
		*ret_port = port;
	return r;
}

static int read_one(struct part place, const char *scheme, int usual_port, struct address *ret, struct error *error)
{
	cleanup_free char *host = NULL;
	int port = usual_port;
	int r = host_read(place, scheme, usual_port, &host, &port, error);
	if (r < 0)
		return r;
	if (strlen(host) >= sizeof ret->host)
		return error_set(error, -EINVAL, "%s: the name of a host is too long", scheme);
	strcpy(ret->host, host);
	ret->port = port;
	return 0;
}

int addresses_read(struct part list, const char *scheme, int usual_port, struct address **ret, size_t *ret_count, struct error *error)
{
	const bool is_empty = list.n == 0;
	cleanup_free struct address *all = calloc(ADDRESSES_MAX, sizeof *all);
	size_t count = 0;
	if (!all)
		return error_set(error, -ENOMEM, "no memory");
	for (bool more = true; more;) {
		const struct part place = part_take_until(&list, ",");
		more = list.n > 0;
		part_skip(&list, more);
		if (place.n == 0 && !is_empty)
			return error_set(error, -EINVAL, "%s: a comma without a server before or after it", scheme);
		if (count == ADDRESSES_MAX)
			return error_set(error, -EINVAL, "%s: more than %d servers", scheme, ADDRESSES_MAX);
		int r = read_one(place, scheme, usual_port, &all[count++], error);
		if (r < 0)
			return r;
	}
	*ret = steal(all);
	*ret_count = count;
	return 0;
}

void endpoint_done(struct endpoint *endpoint)
{
	free(endpoint->host);
	free(endpoint->path);
	tls_settings_free(endpoint->tls);
	*endpoint = (struct endpoint){0};
}
