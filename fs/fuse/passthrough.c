#include "passthrough.h"

#include "mount.h"

#include "ckfs/cleanup.h"
#include "ckfs/log.h"
#include "ckfs/spool.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#if CKFS_HAVE_PASSTHROUGH

void passthrough_init(struct mount *m, struct fuse_conn_info *conn)
{
	struct spool *spool = entries_spool(m->entries);
	if (m->options->no_passthrough || !spool->huge || !(conn->capable & FUSE_CAP_PASSTHROUGH))
		return;
	conn->want |= FUSE_CAP_PASSTHROUGH;
	m->passthrough.agreed = true;
	spool->backs = true;
}

static void mark(struct fuse_file_info *fi, int number)
{
	fi->backing_id = number;
	/* There are no pages that could be kept; the kernel refuses the two together. */
	fi->keep_cache = false;
}

#else

void passthrough_init(struct mount *m, struct fuse_conn_info *conn)
{
	(void)m;
	(void)conn;
}

static void mark(struct fuse_file_info *fi, int number)
{
	(void)fi;
	(void)number;
}

#endif

/* What is short now may be there later; all else stays as it is, as where root is only that of a container. */
static void note_failure(struct mount *m, int r)
{
	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE || atomic_exchange(&m->passthrough.failed, true))
		return;
	entries_spool(m->entries)->backs = false;
	if (m->options->debug)
		log_line(LOG_DEBUG, "passthrough: %s", strerror(-r));
}

/* The number of what backs content in the kernel; 0: it is read by pages. */
static int back(struct mount *m, const struct content *content)
{
	const int fd = content->head.length > 0 ? -1 : slice_backing(&content->body);
	if (fd < 0 || m->passthrough.failed)
		return 0;
	int r = m->reply->back(m, fd);
	if (r < 0)
		note_failure(m, r);
	return r < 0 ? 0 : r;
}

/* Small content has no request too many, and one that may be written (inode.own) is read and written past the page cache. */
bool passthrough_open(struct mount *m, struct inode *inode, const struct content *content, struct fuse_file_info *fi)
{
	if (!m->passthrough.agreed || inode->own || content_size(content) < SPOOL_BACKED_MIN)
		return false;
	LOCK(&m->passthrough.lock);
	if (inode->open_count++ == 0)
		inode->backing = back(m, content);
	if (inode->backing > 0) {
		mark(fi, inode->backing);
		stats_add(&m->stats, passthrough_opens, 1);
	}
	return true;
}

/* The kernel has told of a close after it was done with it there. */
void passthrough_close(struct mount *m, struct inode *inode)
{
	LOCK(&m->passthrough.lock);
	if (--inode->open_count > 0 || inode->backing == 0)
		return;
	m->reply->unback(m, inode->backing);
	inode->backing = 0;
}
