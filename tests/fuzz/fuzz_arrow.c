/*
 * What arrow_describe() tells of any bytes is one JSON object of a bounded length, or nothing and a reason.
 *
 * Also: what lies around the file, and whether it is read from memory or from a descriptor, makes no difference; a file that is not all there is
 * either described alike or -ENODATA.
 *
 * Input: one byte that says how much of it is there, then an Arrow file.
 */
#include "ckfs/arrow.h"
#include "ckfs/json_scan.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A megabyte, and the last column: its name and its extension's, each byte six times as long, and its type. */
#define LENGTH_MAX ((1 << 20) + 3 * 6 * 4096 + 4096)

static const char before[] = "[";

static int describe(struct slice *file, struct buf *ret)
{
	const char *reason = NULL;
	*ret = (struct buf){0};
	buf_puts(ret, before);
	int r = arrow_describe(file, ret, &reason);
	CHECK(r == 0 || r == -EUCLEAN || r == -EFBIG || r == -ENODATA);
	CHECK((r == 0) == (reason == NULL));
	CHECK(r == 0 || ret->length == strlen(before));
	slice_done(file);
	return r;
}

static void check_json(const struct buf *buf)
{
	struct json_scan scan;
	json_scan_init(&scan, JSON_STRICT, NULL, NULL);
	CHECK(buf->length < LENGTH_MAX);
	CHECK(json_scan_feed(&scan, buf->p, buf->length) == 0 && json_scan_feed(&scan, "]", 1) == 0);
	CHECK(json_scan_end(&scan) == 0);
}

/* The same file in another place. */
static void check_same(struct slice other, int r, const struct buf *buf)
{
	struct buf again;
	CHECK(describe(&other, &again) == r);
	CHECK(again.length == buf->length && memcmp(again.p, buf->p, buf->length) == 0);
	buf_done(&again);
}

static struct slice in_descriptor(const uint8_t *data, size_t size)
{
	int fd = memfd_create("arrow", MFD_CLOEXEC);
	struct storage *storage;
	struct slice slice;
	CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	CHECK(storage_new_fd(fd, NULL, 0, &storage) == 0);
	slice_new(storage, 0, size, &slice);
	storage_unref(storage);
	return slice;
}

static void check_partial(const uint8_t *data, size_t size, size_t there, int r, const struct buf *whole)
{
	struct slice part = {0};
	struct buf buf;
	CHECK(slice_new_partial(data, there, size, &part) == 0);
	int found = describe(&part, &buf);
	CHECK(found == -ENODATA || (found == r && buf.length == whole->length && memcmp(buf.p, whole->p, buf.length) == 0));
	buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const size_t there = (size - 1) * data[0] / 255;
	data++;
	size--;
	struct slice file = fuzz_slice(data, size);
	struct buf buf;
	int r = describe(&file, &buf);
	if (r == 0)
		check_json(&buf);
	check_same(fuzz_slice_inside(data, size, 0xff), r, &buf);
	check_same(in_descriptor(data, size), r, &buf);
	check_partial(data, size, there, r, &buf);
	buf_done(&buf);
	return 0;
}
