#include "spool_private.h"

#include "spool_file.h"

#include <unistd.h>

/*
 * What the directory cannot do is no property of the content, and must not look like one: EUCLEAN of a broken disk would be a malformed
 * entry, EFBIG of a limit on file sizes one that is too large. Here all of it gets its errno.
 */
static int outcome(struct spool *spool, int r)
{
	/* These are not the directory's. */
	if (r == 0 || r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	if (atomic_exchange(&spool->trouble, -r) == 0)
		atomic_fetch_add(&spool->losses, 1);
	return r == -ENOSPC || r == -EDQUOT ? -ENOSPC : SPOOL_UNUSABLE;
}

int spool_disk_new(struct spool *spool, uint64_t capacity, uint64_t granted, struct spool_mapping *ret)
{
	void *memory;
	int fd, r = spool_file_new(spool->directory, granted, capacity, &fd, &memory);
	if (r == 0)
		*ret = (struct spool_mapping){.memory = memory, .capacity = capacity, .granted = granted, .fd = fd};
	return outcome(spool, r);
}

int spool_disk_grant(struct spool *spool, struct spool_mapping *mapping, uint64_t to)
{
	int r = outcome(spool, spool_file_fill(mapping->fd, mapping->granted, to));
	if (r == 0)
		mapping->granted = to;
	return r;
}

int spool_disk_lengthen(struct spool *spool, const struct spool_mapping *mapping, uint64_t capacity)
{
	return outcome(spool, ftruncate(mapping->fd, (off_t)capacity) < 0 ? -errno : 0);
}

void spool_disk_works(struct spool *spool)
{
	atomic_store(&spool->trouble, 0);
}
