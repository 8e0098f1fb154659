#include "fill.h"

#include "buffers.h"

#include "ckfs/cleanup.h"

/* Files that share a lock wait for each other; to give one takes some microseconds. */
#define LOCKS 16

static pthread_mutex_t locks[LOCKS] = {[0 ... LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER};

/* bytes NULL: there are none to give; the file is read. */
static void give_once(struct mount *m, struct inode *inode, const void *bytes, size_t n)
{
	struct fuse_bufvec pages = FUSE_BUFVEC_INIT(n);
	pages.buf[0].mem = (void *)(uintptr_t)bytes;
	LOCK(&locks[inode->id % LOCKS]);
	if (!inode->filled && bytes && m->reply->store(m->session, inode->id, 0, &pages, 0) == 0)
		stats_add(&m->stats, fills, 1);
	inode->filled = true;
}

/*
 * The kernel locks pages that are being read: giving them would wait here until that READ is answered, which is for ever if the daemon is ending. So
 * pages are given only while nobody can read them: each open of the file comes here before it is answered.
 */
void fill_pages(struct mount *m, struct inode *inode, const struct content *content)
{
	struct slice window;
	uint64_t n = content_size(content);
	if (n == 0 || n > FILL_MAX || inode->filled)
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
