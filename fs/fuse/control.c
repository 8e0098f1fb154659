#include "control.h"

#include "attr.h"

#include <errno.h>
#include <string.h>

int control_stats(struct mount *m, struct content *ret)
{
	cleanup_buf struct buf buf = {0};
	m->stats.inodes = (long long)inodes_count(m->inodes);
	m->stats.cache_size = (long long)m->options->cache_size;
	m->stats.decoded_bytes = (long long)entries_decoded_bytes(m->entries);
	stats_write_build(CKFS_VERSION, fuse_pkgversion(), CKFS_HIREDIS, &buf);
	stats_write(&m->stats, &buf);
	return content_from_buf(&buf, ret);
}

/* Its size as of now; an open makes the file afresh. */
static int attr_of_stats(struct mount *m, struct stat *ret)
{
	struct content content = {0};
	int r = control_stats(m, &content);
	if (r < 0)
		return r;
	attr_of_file(m, INODE_STATS, content_size(&content), &m->since, ret);
	content_done(&content);
	return 0;
}

void control_lookup(struct mount *m, fuse_req_t req, const char *name)
{
	struct fuse_entry_param e = entry_param(m, INODE_STATS);
	e.entry_timeout = FOREVER;
	bool is_stats = strcmp(name, "stats") == 0;
	int r = is_stats ? attr_of_stats(m, &e.attr) : 0;
	if (!is_stats)
		m->reply->err(req, ENOENT);
	else if (r < 0)
		reply_error(m, req, r);
	else
		m->reply->entry(req, &e);
}

void control_getattr(struct mount *m, fuse_req_t req)
{
	struct stat st;
	int r = attr_of_stats(m, &st);
	if (r < 0)
		reply_error(m, req, r);
	else
		m->reply->attr(req, &st, 0);
}
