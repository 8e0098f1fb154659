#include "source.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"
#include "ckfs/json_scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "memcached://"

#define DEFAULT_SERVER "127.0.0.1:11211"

/* --- the list of servers --- */

static char *name_new(const struct endpoint *at)
{
	char *name = NULL;
	if (at->path)
		return strdup(at->path);
	return asprintf(&name, "%s:%d", at->host, at->port) < 0 ? NULL : name;
}

/* Adds a server, whose endpoint is taken on success. One that is there already stays as it is. */
static int add_node(struct mc_source *source, struct endpoint *at, struct error *error)
{
	cleanup_free char *name = name_new(at);
	if (!name)
		return error_set(error, -ENOMEM, "no memory");
	for (size_t i = 0; i < source->count; i++)
		if (strcmp(source->nodes[i].name, name) == 0) {
			endpoint_done(at);
			return 0;
		}
	if (source->count == ADDRESSES_MAX)
		return error_set(error, -EINVAL, SCHEME ": more than %d servers", ADDRESSES_MAX);
	struct mc_node *grown = realloc(source->nodes, (source->count + 1) * sizeof *grown);
	if (!grown)
		return error_set(error, -ENOMEM, "no memory");
	source->nodes = grown;
	source->nodes[source->count++] = (struct mc_node){.at = *at, .name = steal(name)};
	*at = (struct endpoint){0};
	return 0;
}

/* --- of a URL --- */

static int read_place(struct part place, struct mc_source *source, struct error *error)
{
	cleanup_with(endpoint_done) struct endpoint at = {0};
	int r = place.n > 0 && place.p[0] == '/' ? part_decode(place, false, &at.path, error)
						  : host_read(place, SCHEME, MEMCACHED_PORT, &at.host, &at.port, error);
	if (r == 0 && at.host && strlen(at.host) >= HOST_MAX)
		r = error_set(error, -EINVAL, SCHEME ": the name of a host is too long");
	return r < 0 ? r : add_node(source, &at, error);
}

/* A host is over at its first slash; a path is not. */
static int check_place(struct part place, struct error *error)
{
	if (place.n == 0)
		return error_set(error, -EINVAL, SCHEME ": a comma without a server before or after it");
	if (place.p[0] != '/' && memchr(place.p, '/', place.n))
		return error_set(error, -EINVAL, SCHEME ": nothing may follow the servers; write " SCHEME "HOST[:PORT][,HOST...] or " SCHEME "/SOCKET");
	return 0;
}

/* user[:password]@, up to the last '@' before the first slash. *ret_user: as it stands, with its '@'. */
static int read_login(struct part *rest, struct mc_source *source, struct part *ret_user, struct error *error)
{
	size_t at = 0;
	while (at < rest->n && rest->p[at] != '/')
		at++;
	while (at > 0 && rest->p[at - 1] != '@')
		at--;
	if (at == 0)
		return 0;
	struct part login = {rest->p, at - 1};
	part_skip(rest, at);
	*ret_user = part_take_until(&login, ":");
	int r = ret_user->n ? part_decode(*ret_user, false, &source->user, error) : 0;
	if (r == 0 && login.n > 1)
		r = part_decode((struct part){login.p + 1, login.n - 1}, false, &source->password, error);
	if (r == 0 && !source->user)
		r = error_set(error, -EINVAL, SCHEME ": a password without a user; write " SCHEME "USER@HOST");
	return r;
}

static int read_places(struct part list, struct mc_source *source, struct error *error)
{
	int r = 0;
	/* One slash at the end is what URLs have. */
	if (list.n > 1 && list.p[0] != '/' && list.p[list.n - 1] == '/')
		list.n--;
	if (list.n == 0)
		return read_place(list, source, error);
	for (bool more = true; r == 0 && more;) {
		const struct part place = part_take_until(&list, ",");
		more = list.n > 0;
		part_skip(&list, more);
		r = check_place(place, error);
		if (r == 0)
			r = read_place(place, source, error);
	}
	return r;
}

int mc_source_read(const char *rest, struct mc_source *ret, char **ret_shown, struct error *error)
{
	cleanup_with(mc_source_done) struct mc_source source = {0};
	struct part list = {rest, strlen(rest)}, user = {NULL, 0};
	struct buf shown = {0};
	int r = strpbrk(rest, "?#") ? error_set(error, -EINVAL, SCHEME ": it has no '?' and no '#'") : 0;
	if (r == 0)
		r = read_login(&list, &source, &user, error);
	const struct part places = list;
	if (r == 0)
		r = read_places(list, &source, error);
	if (r < 0)
		return r;
	buf_printf(&shown, SCHEME "%.*s%s%.*s", (int)user.n, user.n ? user.p : "", user.n ? "@" : "", (int)places.n, places.p);
	buf_put(&shown, "", 1);
	if (shown.failed) {
		buf_done(&shown);
		return error_set(error, -ENOMEM, "no memory");
	}
	*ret_shown = shown.p;
	*ret = source;
	source = (struct mc_source){0};
	return 0;
}

/* --- of the SDK's variable --- */

/* As Python's int() reads it: blanks around it, a sign, and single underscores between digits are allowed. 0: it is no port. */
static int port_of(const char *text, size_t n)
{
	long port = 0;
	bool digit = false;
	while (n > 0 && isspace((unsigned char)text[0]))
		text++, n--;
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	if (n > 0 && text[0] == '+')
		text++, n--;
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '_' && digit && i + 1 < n) {
			digit = false;
			continue;
		}
		if (!isdigit((unsigned char)text[i]))
			return 0;
		digit = true;
		port = port * 10 + (text[i] - '0');
		if (port > 65535)
			return 0;
	}
	return digit ? (int)port : 0;
}

struct list {
	struct mc_source *source;
	struct error *error;
	const char *variable;
	struct buf text; /* of the element that is read */
	size_t index;    /* and its number, from 0 on */
};

/* What is wrong is said by its number: it may hold a secret. */
static int refuse(struct list *list, const char *why)
{
	return error_set(list->error, -EINVAL, "%s: the server with number %zu, from 0 on: %s", list->variable, list->index, why);
}

/* host:port, parted at the last colon. */
static int take_element(struct list *list)
{
	cleanup_with(endpoint_done) struct endpoint at = {0};
	const char *text = list->text.p ? list->text.p : "";
	const size_t n = list->text.length;
	const char *colon = memrchr(text, ':', n);
	if (!colon)
		return refuse(list, "it is not HOST:PORT");
	const size_t host = (size_t)(colon - text);
	at.port = port_of(colon + 1, n - host - 1);
	if (at.port == 0)
		return refuse(list, "its port is not a number from 1 to 65535");
	if (host >= HOST_MAX || memchr(text, '\0', host))
		return refuse(list, "its host is not the name of one");
	at.host = strndup(text, host);
	list->text.length = 0;
	list->index++;
	return at.host ? add_node(list->source, &at, list->error) : error_set(list->error, -ENOMEM, "no memory");
}

static int take_event(void *arg, enum json_event event, unsigned level, const uint8_t *bytes, size_t n)
{
	struct list *list = arg;
	if (level == 0 && (event == JSON_ARRAY || event == JSON_ARRAY_END))
		return 0;
	/* The SDK takes it for its default. */
	if (level == 0 && event == JSON_NULL) {
		buf_puts(&list->text, DEFAULT_SERVER);
		return take_element(list);
	}
	if (level != 1 || (event != JSON_STRING_PART && event != JSON_STRING_END))
		return -EINVAL;
	if (event == JSON_STRING_END)
		return take_element(list);
	buf_put(&list->text, bytes, n);
	return list->text.failed ? error_set(list->error, -ENOMEM, "no memory") : 0;
}

static char *shown_new(const struct mc_source *source)
{
	struct buf shown = {0};
	buf_puts(&shown, SCHEME);
	for (size_t i = 0; i < source->count; i++)
		buf_printf(&shown, strchr(source->nodes[i].at.host, ':') ? "%s[%s]:%d" : "%s%s:%d", i ? "," : "", source->nodes[i].at.host,
			source->nodes[i].at.port);
	buf_put(&shown, "", 1);
	if (shown.failed)
		buf_done(&shown);
	return shown.failed ? NULL : shown.p;
}

int mc_source_read_list(const char *variable, const char *text, struct mc_source *ret, char **ret_shown, struct error *error)
{
	cleanup_with(mc_source_done) struct mc_source source = {0};
	struct list list = {.source = &source, .error = error, .variable = variable};
	struct json_scan scan;
	error->text[0] = '\0';
	json_scan_init(&scan, JSON_PYTHON, take_event, &list);
	int r = json_scan_feed(&scan, text, strlen(text));
	if (r == 0)
		r = json_scan_end(&scan);
	buf_done(&list.text);
	if (r == 0 && source.count == 0)
		r = error_set(error, -EINVAL, "%s: it names no server", variable);
	if (r < 0)
		return error->text[0] ? r : error_set(error, -EINVAL, "%s: not a JSON array of servers; write [\"HOST:PORT\"]", variable);
	*ret_shown = shown_new(&source);
	if (!*ret_shown)
		return error_set(error, -ENOMEM, "no memory");
	*ret = source;
	source = (struct mc_source){0};
	return 0;
}

void mc_source_done(struct mc_source *source)
{
	for (size_t i = 0; i < source->count; i++) {
		endpoint_done(&source->nodes[i].at);
		free(source->nodes[i].name);
	}
	free(source->nodes);
	free(source->user);
	text_wipe(source->password);
	*source = (struct mc_source){0};
}
