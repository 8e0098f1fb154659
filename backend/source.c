/* SOURCE: which backend, and where. Without one the environment says, by the SDK's own rules. */
#include "ckfs/backend.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *getenv_set(const char *name)
{
	const char *value = name ? getenv(name) : NULL;
	return value && *value ? value : NULL;
}

/* --- what there is, for messages --- */

/* Puts what stands between one of a list and the next; `last`, between the last two. */
static void put_separator(struct buf *to, size_t index, size_t count, const char *last)
{
	if (index > 0)
		buf_puts(to, index + 1 == count ? last : ", ");
}

/* Whether it is one of those that can be opened, last of the table first: what everybody has comes first in messages. */
static const struct backend_ops *const *next_opened(const struct backend_ops *const *at)
{
	while (at-- > backends)
		if ((*at)->open)
			return at;
	return NULL;
}

static const struct backend_ops *const *end_of_table(void)
{
	size_t n = 0;
	while (backends[n])
		n++;
	return backends + n;
}

/* "file caches (...) and Redis (...)". NULL: no memory. */
static char *mounts_new(void)
{
	struct buf text = {0};
	size_t count = 0, i = 0;
	for (const struct backend_ops *const *at = end_of_table(); (at = next_opened(at));)
		count++;
	for (const struct backend_ops *const *at = end_of_table(); (at = next_opened(at)); i++) {
		put_separator(&text, i, count, " and ");
		buf_puts(&text, (*at)->mounts);
	}
	buf_put(&text, "", 1);
	if (text.failed)
		buf_done(&text);
	return text.p;
}

/* "DIR, file:///DIR, redis://HOST or unix:///SOCKET". NULL: no memory. */
static char *forms_new(void)
{
	struct buf text = {0};
	size_t count = 0, i = 0;
	for (const struct backend_ops *const *at = end_of_table(); (at = next_opened(at));)
		for (const char *const *form = (*at)->forms; *form; form++)
			count++;
	for (const struct backend_ops *const *at = end_of_table(); (at = next_opened(at));)
		for (const char *const *form = (*at)->forms; *form; form++, i++) {
			put_separator(&text, i, count, " or ");
			buf_puts(&text, *form);
		}
	buf_put(&text, "", 1);
	if (text.failed)
		buf_done(&text);
	return text.p;
}

/* `from`: the variable that the source comes from, or "". */
static int refuse_absent(const struct backend_ops *ops, const char *scheme, const char *from, struct error *error)
{
	cleanup_free char *mounts = mounts_new();
	if (!mounts)
		return error_set(error, -ENOMEM, "no memory");
	return error_set(error, -EPROTONOSUPPORT, "%s%s%s: this build has no %s yet; it mounts %s", from, *from ? " names " : "", scheme, ops->title, mounts);
}

static int refuse_scheme(const char *scheme, size_t n, struct error *error)
{
	cleanup_free char *forms = forms_new();
	if (!forms)
		return error_set(error, -ENOMEM, "no memory");
	return error_set(error, -EINVAL, "%.*s://: unknown kind of source; use %s", n > 40 ? 40 : (int)n, scheme, forms);
}

/* --- opening --- */

static const struct backend_ops *find_backend(const char *scheme, size_t n, const char **ret_scheme)
{
	for (size_t i = 0; backends[i]; i++)
		for (const char *const *s = backends[i]->schemes; *s; s++)
			if (strlen(*s) == n && strncasecmp(*s, scheme, n) == 0) {
				*ret_scheme = *s;
				return backends[i];
			}
	return NULL;
}

/* The backend whose location a path is. */
static const struct backend_ops *backend_of_paths(void)
{
	size_t i = 0;
	while (!backends[i]->takes_paths)
		i++;
	return backends[i];
}

static int open_source(const char *source, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	const char *colon = strstr(source, "://"), *scheme = NULL;
	if (!colon)
		return backend_of_paths()->open(NULL, source, options, ret, ret_source, error);
	const struct backend_ops *ops = find_backend(source, (size_t)(colon - source), &scheme);
	if (!ops)
		return refuse_scheme(source, (size_t)(colon - source), error);
	if (!ops->open)
		return refuse_absent(ops, scheme, "", error);
	return ops->open(scheme, colon + 3, options, ret, ret_source, error);
}

/* What a variable says. That of a server may hold a secret: it is wiped there, since /proc shows that very memory to root. */
static int open_variable(const struct backend_ops *ops, const char *variable, const struct options *options, struct backend **ret, char **ret_source,
	struct error *error)
{
	char *value = getenv(variable);
	if (!ops->open)
		return refuse_absent(ops, ops->schemes[0], variable, error);
	int r = ops->open_variable ? ops->open_variable(variable, value, options, ret, ret_source, error)
				   : ops->open(ops->takes_paths ? NULL : ops->schemes[0], value, options, ret, ret_source, error);
	if (ops->remote) {
		sodium_memzero(value, strlen(value));
		unsetenv(variable);
	}
	return r;
}

/* Where no variable selects a backend. */
static int open_unselected(const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	for (size_t i = 0; backends[i]; i++)
		if (getenv_set(backends[i]->last_variable))
			return open_variable(backends[i], backends[i]->last_variable, options, ret, ret_source, error);
	for (size_t i = 0; backends[i]; i++)
		if (backends[i]->open_default)
			return backends[i]->open_default(options, ret, ret_source, error);
	return error_set(error, -EINVAL, "no SOURCE");
}

static int open_environment(const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	char names[256] = "";
	size_t found = 0;
	const struct backend_ops *which = NULL;
	for (size_t i = 0; backends[i]; i++)
		if (getenv_set(backends[i]->variable)) {
			size_t n = strlen(names);
			snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", backends[i]->variable);
			which = backends[i];
			found++;
		}
	/* Setting two is an error for the SDK, too. */
	if (found > 1)
		return error_set(error, -EINVAL, "no SOURCE, and the environment sets more than one: %s; unset all but one, or name a SOURCE", names);
	return found ? open_variable(which, which->variable, options, ret, ret_source, error) : open_unselected(options, ret, ret_source, error);
}

int backend_open(const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	int r = options->source ? open_source(options->source, options, ret, ret_source, error)
				: open_environment(options, ret, ret_source, error);
	if (r == 0)
		(*ret)->traced = options->debug;
	return r;
}
