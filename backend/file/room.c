#include "room.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/secrets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What was counted is relied on for so many times as long as counting took. */
#define COUNTED_TIMES 20

#define MIB (UINT64_C(1) << 20)

int file_room_init(struct file_room *room, struct error *error)
{
	uint64_t size, value, count;
	int r = setting_read_number("CACHEKIT_FILE_MAX_SIZE_MB", 1024, 1, 1000000, &size, error);
	if (r == 0)
		r = setting_read_number("CACHEKIT_FILE_MAX_VALUE_MB", 100, 1, 1000000, &value, error);
	if (r == 0)
		r = setting_read_number("CACHEKIT_FILE_MAX_ENTRY_COUNT", 10000, 100, 1000000, &count, error);
	if (r < 0)
		return r;
	room->value_max = value * MIB;
	room->bytes_max = size * MIB / 10 * 9;
	room->count_max = count * 9 / 10;
	return 0;
}

void file_room_done(struct file_room *room)
{
	pthread_mutex_destroy(&room->lock);
}

/* What the SDK counts: all files but hidden and temporary ones. Adds to both. 0, -errno. */
static int count_all(int directory, uint64_t *ret_bytes, uint64_t *ret_count)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	struct stat st;
	if (!d) {
		int r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	for (errno = 0; (e = readdir(d)); errno = 0) {
		if (e->d_name[0] == '.' || strstr(e->d_name, ".tmp.") || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		*ret_bytes += (uint64_t)st.st_size;
		(*ret_count)++;
	}
	int r = -errno;
	closedir(d);
	return r;
}

static int count_anew(struct file_room *room, int directory)
{
	uint64_t bytes = 0, count = 0;
	int64_t began = clock_ns();
	int r = count_all(directory, &bytes, &count);
	if (r < 0)
		return r;
	LOCK(&room->lock);
	room->bytes = bytes;
	room->count = count;
	room->counted_at = clock_ns();
	room->good_until = room->counted_at + (room->counted_at - began) * COUNTED_TIMES;
	return 0;
}

/* Takes what there is. 0; -ENOSPC; 1 what there is has to be counted first, or again as it was not counted since `since`. */
static int take(struct file_room *room, uint64_t size, int64_t before, int64_t since)
{
	const uint64_t was = before < 0 ? 0 : (uint64_t)before;
	LOCK(&room->lock);
	if (room->counted_at < since && clock_ns() >= room->good_until)
		return 1;
	uint64_t bytes = room->bytes - (was < room->bytes ? was : room->bytes) + size, count = room->count + (before < 0);
	bool fits = (bytes <= room->bytes_max || size <= was) && (count <= room->count_max || before >= 0);
	if (!fits)
		return room->counted_at < since ? 1 : -ENOSPC;
	room->bytes = bytes;
	room->count = count;
	return 0;
}

int file_room_take(struct file_room *room, int directory, uint64_t size, int64_t before)
{
	const int64_t since = clock_ns();
	int r = take(room, size, before, since);
	if (r != 1)
		return r;
	r = count_anew(room, directory);
	return r < 0 ? r : take(room, size, before, since);
}

void file_room_give(struct file_room *room, uint64_t size, int64_t before)
{
	const uint64_t was = before < 0 ? 0 : (uint64_t)before;
	LOCK(&room->lock);
	room->bytes = (size < room->bytes ? room->bytes - size : 0) + was;
	room->count -= before < 0 && room->count > 0;
}
