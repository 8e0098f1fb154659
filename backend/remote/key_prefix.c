#include "key_prefix.h"

#include "url.h"

#include "ckfs/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* t:{tenant}:, escaped as the SDK does. */
static void put_tenant(const char *tenant, struct buf *to)
{
	buf_puts(to, "t:");
	url_put_escaped(to, tenant, strlen(tenant));
	buf_puts(to, ":");
}

int key_prefix_make(const struct options *options, struct backend *backend)
{
	struct buf prefix = {0};
	if (options->tenant)
		put_tenant(options->tenant, &prefix);
	if (options->prefix)
		buf_puts(&prefix, options->prefix);
	const size_t n = prefix.length;
	buf_put(&prefix, "", 1);
	if (prefix.failed) {
		buf_done(&prefix);
		return -ENOMEM;
	}
	backend->prefix = prefix.p;
	backend->prefix_length = n;
	return 0;
}

char *key_prefix_glob(const struct backend *backend)
{
	char *glob = malloc(backend->prefix_length * 2 + 2), *to = glob;
	if (!glob)
		return NULL;
	for (size_t i = 0; i < backend->prefix_length; i++) {
		if (strchr("\\*?[]^-", backend->prefix[i]))
			*to++ = '\\';
		*to++ = backend->prefix[i];
	}
	*to++ = '*';
	*to = '\0';
	return glob;
}

char *key_prefix_put(const struct backend *backend, const struct key *key, size_t *ret_length)
{
	const size_t n = backend->prefix_length;
	char *name = malloc(n + key->length + 1);
	if (!name)
		return NULL;
	memcpy(name, backend->prefix, n);
	memcpy(name + n, key->text, key->length);
	*ret_length = n + key->length;
	return name;
}

int key_prefix_cut(const struct backend *backend, const char *name, size_t n, struct key *ret)
{
	const size_t prefix = backend->prefix_length;
	if (n <= prefix || memcmp(name, backend->prefix, prefix) != 0)
		return 0;
	int r = key_from_text(name + prefix, n - prefix, ret);
	return r < 0 ? r : 1;
}
