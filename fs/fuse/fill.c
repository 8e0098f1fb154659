#include "fill.h"

#include "buffers.h"

/* Files that share one wait for each other; to give one takes some microseconds. */
#define LOCKS 16

static pthread_mutex_t locks[LOCKS] = {[0 ... LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER};

/* Unless that was done before; bytes NULL: there is nothing to give. */
static void give_once(struct mount *m, struct inode *inode, const void *bytes, size_t n)
{
	struct fuse_bufvec pages = FUSE_BUFVEC_INIT(n);
	pages.buf[0].mem = (void *)(uintptr_t)bytes;
	pthread_mutex_lock(&locks[inode->id % LOCKS]);
	if (!inode->filled && bytes && fuse_lowlevel_notify_store(m->session, inode->id, 0, &pages, 0) == 0)
		stats_add(&m->stats, fills, 1);
	inode->filled = true;
	pthread_mutex_unlock(&locks[inode->id % LOCKS]);
}

/*
 * The kernel locks pages that are being read, and would wait here for whoever answers that READ: for ever, if the daemon is ending. So
 * pages are only given while nobody can read them: no open of the file is answered before it has been here.
 */
void fill_pages(struct mount *m, uint64_t id, const struct content *content)
{
	struct slice window;
	uint64_t n = content_size(content);
	struct inode *inode = n > 0 && n <= FILL_MAX ? inodes_get(m->inodes, id) : NULL;
	if (!inode || inode->filled)
		return;
	if (content_in_memory(content, 0, (size_t)n, &window)) {
		give_once(m, inode, slice_memory(&window), (size_t)n);
		slice_done(&window);
		return;
	}
	void *buffer = buffer_get();
	bool is_read = buffer && content_read(content, 0, buffer, (size_t)n) == 0;
	give_once(m, inode, is_read ? buffer : NULL, (size_t)n);
	if (buffer)
		buffer_put(buffer);
}
