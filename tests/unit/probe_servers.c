#include "probe_servers.h"

#include "backend/memcached/address/placement.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void put_member(struct buf *to, const char *name, const char *text)
{
	buf_printf(to, ", \"%s\": ", name);
	buf_json_text(to, text);
}

static void put_node(struct buf *to, const struct mc_node *node)
{
	buf_puts(to, "{\"name\": ");
	buf_json_text(to, node->name);
	put_member(to, "host", node->at.host);
	put_member(to, "path", node->at.path);
	buf_printf(to, ", \"port\": %d}", node->at.port);
}

static void put_source(struct buf *to, const struct mc_source *source, const char *shown)
{
	buf_puts(to, "{\"errno\": 0, \"nodes\": [");
	for (size_t i = 0; i < source->count; i++) {
		buf_puts(to, i ? ", " : "");
		put_node(to, &source->nodes[i]);
	}
	buf_puts(to, "]");
	put_member(to, "shown", shown);
	put_member(to, "user", source->user);
	put_member(to, "password", source->password);
}

/* The number of the server of each key. */
static void put_places(struct buf *to, const struct mc_source *source, const char *keys)
{
	buf_puts(to, ", \"places\": [");
	for (const char *end; (end = strchr(keys, '\n')); keys = end + 1)
		buf_printf(to, "%zu%s", placement_of(source, keys, (size_t)(end - keys)), end[1] ? ", " : "");
	buf_puts(to, "]");
}

int probe_servers(const uint8_t *bytes, size_t n, bool is_list)
{
	cleanup_free char *text = strndup((const char *)bytes, n), *shown = NULL;
	cleanup_with(mc_source_done) struct mc_source source = {0};
	cleanup_buf struct buf out = {0};
	struct error error = {.text = ""};
	char *keys = text ? strchr(text, '\n') : NULL;
	if (!keys)
		return -EINVAL;
	*keys++ = '\0';
	int r = is_list ? mc_source_read_list("SERVERS", text, &source, &shown, &error) : mc_source_read(text, &source, &shown, &error);
	if (r < 0) {
		buf_printf(&out, "{\"errno\": %d", -r);
		put_member(&out, "reason", error.text);
	} else {
		put_source(&out, &source, shown);
		put_places(&out, &source, keys);
	}
	buf_put(&out, "", 1);
	if (!out.failed)
		fputs(out.p, stdout);
	return out.failed ? -EINVAL : 0;
}
