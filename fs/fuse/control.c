#include "control.h"

#include "attr.h"

#include <errno.h>
#include <string.h>

static int make_stats(struct mount *m, struct content *ret)
{
	cleanup_buf struct buf buf = {0};
	m->stats.inodes = (long long)inodes_count(m->inodes);
	m->stats.cache_size = (long long)m->options->cache_size;
	m->stats.decoded_bytes = (long long)entries_decoded_bytes(m->entries);
	stats_write_build(CKFS_VERSION, fuse_pkgversion(), CKFS_HIREDIS, &buf);
	stats_write(&m->stats, &buf);
	return content_from_buf(&buf, ret);
}

int control_open(struct mount *m, struct content *ret)
{
	int r = make_stats(m, ret);
	if (r == 0)
		atomic_store(&m->stats_size, content_size(ret));
	return r;
}

/* Its size as of the last open, so that who has it open is told the length of what is read there; as of now, where there was none. */
static int attr_of_stats(struct mount *m, struct stat *ret)
{
	uint64_t size = atomic_load(&m->stats_size);
	struct content content = {0};
	int r = size == 0 ? make_stats(m, &content) : 0;
	if (r < 0)
		return r;
	attr_of_file(m, INODE_STATS, size ? size : content_size(&content), &m->since, ret);
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
