#include "ckfs/collected.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* So many bytes are sent to the disk at a time, while others are collected, so that who closes the file waits for little. */
#define SENT_AT_ONCE ((uint64_t)16 << 20)

void collected_init(struct entries *entries, struct collected *ret)
{
	*ret = (struct collected){.entries = entries, .file.fd = -1};
}

void collected_drop(struct collected *collected)
{
	struct collected *c = collected;
	if (c->file.fd >= 0)
		close(c->file.fd);
	if (c->spooled.spool)
		spool_abort(&c->spooled);
	collected_init(c->entries, c);
}

bool collected_is_in_file(const struct collected *collected)
{
	return collected->file.fd >= 0;
}

static int begin(struct collected *c, uint64_t size)
{
	if (c->file.fd >= 0 || c->spooled.spool)
		return 0;
	c->filled = 0;
	if (backend_collect(entries_backend(c->entries), &c->file) == 0)
		return 0;
	c->file.fd = -1;
	return spool_begin_growing(entries_spool(c->entries), size, false, &c->spooled);
}

static int put_in_file(const struct collected *c, const void *bytes, size_t n, uint64_t at)
{
	for (size_t done = 0; done < n;) {
		ssize_t put = pwrite(c->file.fd, (const char *)bytes + done, n - done, (off_t)(c->file.offset + at + done));
		if (put < 0 && errno != EINTR)
			return errno == EDQUOT ? -ENOSPC : -errno;
		if (put == 0)
			return -EIO;
		done += put > 0 ? (size_t)put : 0;
	}
	return 0;
}

static int put_in_spool(struct collected *c, const void *bytes, size_t n, uint64_t at)
{
	uint64_t more = at + n > c->filled ? at + n - c->filled : 0;
	int r = more ? sink_room(&c->spooled.sink, (size_t)more) : 0;
	if (r < 0)
		return r;
	if (bytes)
		memcpy(spool_bytes(&c->spooled) + at, bytes, n);
	else
		memset(spool_bytes(&c->spooled) + at, 0, n);
	c->spooled.sink.p += more;
	return 0;
}

/* It is a hint: what is not sent by now, or not in order, is by fsync, which also tells what has failed. A page is sent when it is full. */
static void send_to_disk(struct collected *c)
{
	const uint64_t sent = c->sent, filled = (c->file.offset + c->filled) & ~(uint64_t)0xffff;
	if (c->file.fd < 0 || filled < sent + SENT_AT_ONCE)
		return;
	sync_file_range(c->file.fd, (off_t)sent, (off_t)(filled - sent), SYNC_FILE_RANGE_WRITE);
	c->sent = filled;
}

int collected_put(struct collected *collected, const void *bytes, size_t n, uint64_t at, uint64_t size)
{
	struct collected *c = collected;
	int r = begin(c, size);
	if (r == 0)
		r = c->file.fd < 0 ? put_in_spool(c, bytes, n, at) : bytes ? put_in_file(c, bytes, n, at) : 0;
	if (r == 0 && at + n > c->filled) {
		c->filled = at + n;
		send_to_disk(c);
	}
	/* A part of it may lie there now, where zeros are that need not be written. */
	if (r < 0 && c->file.fd >= 0 && ftruncate(c->file.fd, (off_t)(c->file.offset + c->filled)) < 0)
		r = -errno;
	return r;
}

int collected_cut(struct collected *collected, uint64_t length)
{
	struct collected *c = collected;
	if (length >= c->filled)
		return 0;
	if (c->file.fd < 0)
		c->spooled.sink.p = spool_bytes(&c->spooled) + length;
	else if (ftruncate(c->file.fd, (off_t)(c->file.offset + length)) < 0)
		return -errno;
	c->filled = length;
	return 0;
}

int collected_read(const struct collected *collected, uint64_t at, void *to, size_t n)
{
	const struct collected *c = collected;
	uint8_t *p = to;
	if (c->file.fd < 0) {
		memcpy(p, spool_bytes(&c->spooled) + at, n);
		return 0;
	}
	for (size_t done = 0; done < n;) {
		ssize_t got = pread(c->file.fd, p + done, n - done, (off_t)(c->file.offset + at + done));
		if (got < 0 && errno != EINTR)
			return -errno;
		/* Behind its end are zeros that were not written. */
		if (got == 0) {
			memset(p + done, 0, n - done);
			return 0;
		}
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

static int value_in_file(const struct collected *c, uint64_t length, struct slice *ret)
{
	struct storage *storage;
	cleanup_close int fd = fcntl(c->file.fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || ftruncate(fd, (off_t)(c->file.offset + length)) < 0)
		return -errno;
	int r = storage_new_fd(fd, NULL, 0, &storage);
	if (r < 0)
		return r;
	steal_fd(&fd);
	slice_new(storage, c->file.offset, length, ret);
	storage_unref(storage);
	return 0;
}

int collected_value(struct collected *collected, uint64_t length, struct slice *ret)
{
	struct collected *c = collected;
	int r = begin(c, length);
	if (r < 0)
		return r;
	if (c->file.fd >= 0)
		return value_in_file(c, length, ret);
	r = spool_end(&c->spooled, ret);
	if (r < 0)
		return r;
	collected_init(c->entries, c);
	return 0;
}
