#include "fill.h"

#include "buffers.h"

static void give(struct mount *m, uint64_t id, const void *bytes, size_t n)
{
	struct fuse_bufvec pages = FUSE_BUFVEC_INIT(n);
	pages.buf[0].mem = (void *)(uintptr_t)bytes;
	if (fuse_lowlevel_notify_store(m->session, id, 0, &pages, 0) == 0)
		stats_add(&m->stats, fills, 1);
}

static void give_content(struct mount *m, uint64_t id, const struct content *content, size_t n)
{
	struct slice window;
	if (content_in_memory(content, 0, n, &window)) {
		give(m, id, slice_memory(&window), n);
		slice_done(&window);
		return;
	}
	void *buffer = buffer_get();
	if (buffer && content_read(content, 0, buffer, n) == 0)
		give(m, id, buffer, n);
	if (buffer)
		buffer_put(buffer);
}

/*
 * The kernel locks pages that it is reading, and waits here for them, if somebody else has opened the file meanwhile. So this needs
 * another thread that answers his READ, and happens once: later all pages of the file may be locked.
 */
void fill_pages(struct mount *m, uint64_t id, const struct content *content)
{
	uint64_t n = content_size(content);
	struct inode *inode = n > 0 && n <= FILL_MAX ? inodes_get(m->inodes, id) : NULL;
	if (!inode || atomic_exchange(&inode->filled, true))
		return;
	if (atomic_fetch_add(&m->waiting, 1) + 1 < m->options->max_threads)
		give_content(m, id, content, (size_t)n);
	atomic_fetch_sub(&m->waiting, 1);
}
