/*
 * Listings of the file backend.
 *
 * Where a directory is rewritten while it is read, some filesystems (tmpfs, btrfs) move a name that is renamed over
 * to the end, or past what an open directory shows. So names are remembered, and the directory is read again until a
 * pass meets no change, or nothing new.
 *
 * Only its file tells whether a name is a live entry: it is opened, or (file/headers.h) known. That is done in batches ahead,
 * by another thread as well, while the batch before is being shown.
 */
#include "batch.h"

#include "backend/seen.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#define DIRENTS_SIZE (64u << 10)

/* One batch is being shown. Of the others one is looked at, and one waits, so that no thread has to. */
#define BATCHES 3

/* A directory that changes without end is not read for ever. */
#define PASSES_MAX 16

struct file_cursor {
	struct cursor cursor;
	struct file_backend *backend;
	int directory; /* its own: descriptors share their position; -1: there is none */
	struct seen seen;
	uint64_t seed; /* of the fingerprints: nobody can make two names look the same */
	unsigned pass;
	size_t seen_before_pass;
	struct timespec changed_before_pass;
	struct batch batches[BATCHES];
	unsigned current; /* which batch is being shown; the next ones come after it, round and round */
	size_t filled, used;
	char dirents[DIRENTS_SIZE] __attribute__((aligned(8)));
};

static struct file_cursor *cursor_of(struct cursor *cursor)
{
	return (struct file_cursor *)cursor;
}

/* When the directory last changed. A time that is just now may hide a later change: it is made one that never matches. */
static struct timespec changed_at(int directory)
{
	struct timespec now;
	struct stat st;
	clock_gettime(CLOCK_REALTIME, &now);
	if (fstat(directory, &st) < 0)
		return now;
	int64_t age = (int64_t)(now.tv_sec - st.st_ctim.tv_sec) * 1000000000 + (now.tv_nsec - st.st_ctim.tv_nsec);
	return age < FILE_TICK_NS ? now : st.st_ctim;
}

/* Begins to read the directory from its start. One that is absent lists nothing; one that cannot be read is an error. */
static int begin_pass(struct file_cursor *c)
{
	int fd = file_open_directory(c->backend);
	if (fd < 0 && fd != -ENOENT)
		return fd;
	for (unsigned i = 0; i < BATCHES; i++)
		batch_begin(&c->batches[i], -1, false);
	if (c->directory >= 0)
		close(c->directory);
	c->directory = fd < 0 ? -1 : fd;
	c->filled = c->used = 0;
	c->pass++;
	c->seen_before_pass = c->seen.count;
	if (c->directory >= 0)
		c->changed_before_pass = changed_at(c->directory);
	return 0;
}

/* Whether all names were met that were there throughout. */
static bool is_complete(const struct file_cursor *c)
{
	if (c->directory < 0 || c->pass >= PASSES_MAX)
		return true;
	if (c->pass > 1 && c->seen.count == c->seen_before_pass)
		return true;
	struct timespec now = changed_at(c->directory);
	return now.tv_sec == c->changed_before_pass.tv_sec && now.tv_nsec == c->changed_before_pass.tv_nsec;
}

/* The next name in this pass. 1, 0 at its end, -errno. */
static int next_dirent(struct file_cursor *c, const struct dirent64 **ret)
{
	if (c->used == c->filled) {
		long n = c->directory < 0 ? 0 : syscall(SYS_getdents64, c->directory, c->dirents, sizeof c->dirents);
		/* A directory that is removed while it is listed has no more names. */
		if (n < 0 && errno != ENOENT)
			return -errno;
		c->used = 0;
		c->filled = n < 0 ? 0 : (size_t)n;
		if (n <= 0)
			return 0;
	}
	const struct dirent64 *d = (const struct dirent64 *)(const void *)(c->dirents + c->used);
	c->used += d->d_reclen;
	*ret = d;
	return 1;
}

/* Takes names from the directory until a batch is full, or the pass ends. There may be any number of others between them. */
static int fill(struct file_cursor *c, struct batch *b, bool value, const atomic_bool *cancel)
{
	const struct dirent64 *d = NULL;
	int r = 1;
	batch_begin(b, c->directory, value);
	while (!batch_is_full(b) && (r = was_cancelled(cancel) ? -EINTR : next_dirent(c, &d)) == 1)
		if (d->d_type == DT_REG || d->d_type == DT_UNKNOWN)
			batch_add(b, d->d_name, d->d_ino);
	return r < 0 ? r : 0;
}

/* The batch that is shown after so many others. */
static struct batch *batch_after(struct file_cursor *c, unsigned n)
{
	return &c->batches[(c->current + n) % BATCHES];
}

/* Goes on to the next batch. 1, 0 when the pass has no more, -errno. */
static int next_batch(struct file_cursor *c, bool value, const atomic_bool *cancel)
{
	struct batch *current = batch_after(c, 1);
	int back = batch_take_back(current, cancel);
	if (back < 0)
		return back;
	c->current = (c->current + 1) % BATCHES;
	for (unsigned i = 0; i < BATCHES; i++) {
		struct batch *b = batch_after(c, i);
		if (!batch_is_spent(b))
			continue;
		int r = fill(c, b, value, cancel);
		if (r < 0)
			return r;
		if (batch_is_spent(b))
			break;
		if (b != current)
			batch_share(b);
	}
	return !batch_is_spent(current);
}

static uint64_t fingerprint(const struct file_cursor *c, const struct key_hash *hash)
{
	return XXH3_64bits_withSeed(hash->bytes, sizeof hash->bytes, c->seed);
}

/* The next name, in this pass or a further one. 1, 0 at the end, -errno. */
static int next_candidate(struct file_cursor *c, bool value, const atomic_bool *cancel, struct candidate **ret)
{
	struct candidate *candidate;
	while (!(candidate = batch_next(batch_after(c, 0)))) {
		int r = next_batch(c, value, cancel);
		if (r == 0 && is_complete(c))
			return 0;
		if (r == 0)
			r = begin_pass(c);
		if (r < 0)
			return r;
	}
	*ret = candidate;
	return 1;
}

/* Looks at a name that is to be shown. What is only held ahead gives way to it. */
static void look(struct file_cursor *c, struct candidate *candidate, bool value)
{
	candidate_look(batch_after(c, 0), candidate, value);
	if (candidate->r != -EMFILE && candidate->r != -ENFILE)
		return;
	for (unsigned i = 0; i < BATCHES; i++)
		batch_forget(batch_after(c, i));
	candidate_look(batch_after(c, 0), candidate, value);
}

int file_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret)
{
	struct file_cursor *c = cursor_of(cursor);
	struct candidate *candidate = NULL;
	int r;
	while ((r = was_cancelled(cancel) ? -EINTR : next_candidate(c, value, cancel, &candidate)) == 1) {
		if (seen_has(&c->seen, fingerprint(c, &candidate->key.hash))) {
			candidate_done(candidate);
			continue;
		}
		look(c, candidate, value);
		if (candidate_is_hidden(candidate)) {
			/* Its file may have told its key before it told that it has expired. */
			candidate_done(candidate);
			continue;
		}
		bool unread = candidate_is_unread(candidate);
		r = unread ? 0 : candidate->r;
		/* Anything else must not shorten the list silently. */
		if (r == 0)
			r = seen_add(&c->seen, fingerprint(c, &candidate->key.hash));
		if (r < 0) {
			batch_put_back(batch_after(c, 0));
			return r;
		}
		ret->key = key_steal(&candidate->key);
		ret->named = candidate->named;
		ret->stored = unread ? (struct stored){0} : candidate->stored;
		ret->unread = unread;
		return 1;
	}
	return r;
}

int file_list(struct backend *backend, struct cursor **ret)
{
	struct file_cursor *c = malloc(sizeof *c);
	if (!c)
		return -ENOMEM;
	c->cursor.ops = backend->ops;
	c->backend = (struct file_backend *)backend;
	c->directory = -1;
	c->seen = (struct seen){0};
	c->seed = randombytes_random() | (uint64_t)randombytes_random() << 32;
	c->pass = 0;
	for (unsigned i = 0; i < BATCHES; i++)
		batch_init(&c->batches[i], c->backend);
	c->current = 0;
	int r = begin_pass(c);
	if (r < 0) {
		file_list_end(&c->cursor);
		return r;
	}
	*ret = &c->cursor;
	return 0;
}

void file_list_end(struct cursor *cursor)
{
	struct file_cursor *c = cursor_of(cursor);
	for (unsigned i = 0; i < BATCHES; i++)
		batch_done(&c->batches[i]);
	if (c->directory >= 0)
		close(c->directory);
	seen_done(&c->seen);
	free(c);
}
