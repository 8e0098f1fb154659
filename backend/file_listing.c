/*
 * Listings of the file backend.
 *
 * Where a directory is rewritten while it is read, some filesystems (tmpfs, btrfs) move a name that is renamed over
 * to the end, or past what an open directory shows. So names are remembered, and the directory is read again until a
 * pass meets no change, or nothing new.
 *
 * Each name costs an open, since only its file tells whether it is a live entry. That is done a batch ahead, by
 * another thread as well, while the batch before is being shown.
 */
#include "file.h"

#include "ckfs/seen.h"
#include "ckfs/table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#define DIRENTS_SIZE (64u << 10)
#define BATCH_MAX 512

/* One batch is being shown. Of the others one is looked at, and one waits, so that no thread has to. */
#define BATCHES 3

/* A batch of fewer names is not worth waking a thread. */
#define BATCH_SHARED_MIN 64

/* A directory that changes without end is not read for ever. */
#define PASSES_MAX 16

/* A change within this many nanoseconds may not show in the directory's time: clocks tick. */
#define TICK_NS 20000000

/* A name that was not looked at yet. */
#define UNSEEN 1

struct step {
	struct key_hash hash;
	char name[KEY_HEX_SIZE + 1];
	int r; /* UNSEEN; 0, and `stored` without its value; -errno */
	struct stored stored;
};

struct batch {
	struct file_cursor *cursor;
	unsigned count, at;
	struct step steps[BATCH_MAX];
	atomic_uint next; /* the step that the next free thread looks at */
	struct work work;
	bool is_shared; /* protected by the cursor's lock: another thread has it too */
};

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
	pthread_mutex_t lock;
	pthread_cond_t returned; /* a batch is no longer shared */
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
	struct timespec now = {0};
	struct stat st;
	if (fstat(directory, &st) < 0)
		return now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age = (int64_t)(now.tv_sec - st.st_ctim.tv_sec) * 1000000000 + (now.tv_nsec - st.st_ctim.tv_nsec);
	return age < TICK_NS ? now : st.st_ctim;
}

/* Begins to read the directory from its start. */
static int begin_pass(struct file_cursor *c)
{
	struct file_backend *f = c->backend;
	pthread_rwlock_rdlock(&f->lock);
	/* A directory that is not there just now lists nothing. */
	int fd = f->directory < 0 ? -ENOENT : openat(f->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = f->directory >= 0 && fd < 0 ? -errno : 0;
	pthread_rwlock_unlock(&f->lock);
	if (r < 0 && r != -ENOENT)
		return r;
	if (c->directory >= 0)
		close(c->directory);
	c->directory = fd < 0 ? -1 : fd;
	c->filled = c->used = 0;
	for (unsigned i = 0; i < BATCHES; i++)
		c->batches[i].count = c->batches[i].at = 0;
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

/* Takes names from the directory until a batch is full, or the pass ends. */
static int fill(struct file_cursor *c, struct batch *b)
{
	const struct dirent64 *d = NULL;
	int r = 1;
	b->count = b->at = 0;
	b->next = 0;
	while (b->count < BATCH_MAX && (r = next_dirent(c, &d)) == 1) {
		struct step *step = &b->steps[b->count];
		if ((d->d_type != DT_REG && d->d_type != DT_UNKNOWN) ||
			!key_hash_from_hex(d->d_name, strlen(d->d_name), &step->hash))
			continue;
		memcpy(step->name, d->d_name, sizeof step->name);
		step->r = UNSEEN;
		b->count++;
	}
	return r < 0 ? r : 0;
}

static void look_at(const struct file_cursor *c, struct step *step, bool value)
{
	int fd = file_open_entry(c->backend, c->directory, step->name);
	step->r = fd < 0 ? fd : file_read_entry(c->backend, fd, value, &step->stored);
}

/* Looks at names that nobody has taken yet. */
static void look_at_rest(struct batch *b)
{
	unsigned i;
	while ((i = atomic_fetch_add(&b->next, 1)) < b->count)
		look_at(b->cursor, &b->steps[i], false);
}

static void look_ahead(struct work *work)
{
	struct batch *b = container_of(work, struct batch, work);
	struct file_cursor *c = b->cursor;
	look_at_rest(b);
	pthread_mutex_lock(&c->lock);
	b->is_shared = false;
	pthread_cond_broadcast(&c->returned);
	pthread_mutex_unlock(&c->lock);
}

/* Has a batch looked at by another thread. What is wanted with its value is opened when it is shown. */
static void share(struct file_cursor *c, struct batch *b)
{
	if (b->count < BATCH_SHARED_MIN)
		return;
	b->is_shared = true;
	b->work.run = look_ahead;
	work_submit(c->backend->ahead, &b->work);
}

/* Takes a batch back: what is left of it is looked at here. */
static void take_back(struct file_cursor *c, struct batch *b)
{
	pthread_mutex_lock(&c->lock);
	bool is_shared = b->is_shared;
	pthread_mutex_unlock(&c->lock);
	if (!is_shared)
		return;
	look_at_rest(b);
	pthread_mutex_lock(&c->lock);
	while (b->is_shared)
		pthread_cond_wait(&c->returned, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

static void take_back_all(struct file_cursor *c)
{
	for (unsigned i = 0; i < BATCHES; i++)
		take_back(c, &c->batches[i]);
}

/* The batch that is shown after so many others. */
static struct batch *batch_after(struct file_cursor *c, unsigned n)
{
	return &c->batches[(c->current + n) % BATCHES];
}

/* Goes on to the next batch. 1, 0 when the pass has no more, -errno. */
static int next_batch(struct file_cursor *c, bool value)
{
	struct batch *spent = batch_after(c, 0), *current = batch_after(c, 1);
	spent->count = spent->at = 0;
	c->current = (c->current + 1) % BATCHES;
	take_back(c, current);
	for (unsigned i = 0; i < BATCHES; i++) {
		struct batch *b = batch_after(c, i);
		if (b->count > 0)
			continue;
		int r = fill(c, b);
		if (r < 0)
			return r;
		if (b->count == 0)
			break;
		if (b != current && !value)
			share(c, b);
	}
	return current->count > 0;
}

static uint64_t fingerprint(const struct file_cursor *c, const struct key_hash *hash)
{
	return XXH3_64bits_withSeed(hash->bytes, sizeof hash->bytes, c->seed);
}

/* The next name, in this pass or a further one. 1, 0 at the end, -errno. */
static int next_step(struct file_cursor *c, bool value, struct step **ret)
{
	struct batch *b = batch_after(c, 0);
	while (b->at == b->count) {
		int r = next_batch(c, value);
		if (r == 0 && is_complete(c))
			return 0;
		if (r == 0)
			r = begin_pass(c);
		if (r < 0)
			return r;
		b = batch_after(c, 0);
	}
	*ret = &b->steps[b->at++];
	return 1;
}

int file_next(struct cursor *cursor, bool value, struct listed *ret)
{
	struct file_cursor *c = cursor_of(cursor);
	struct step *step = NULL;
	int r;
	while ((r = next_step(c, value, &step)) == 1) {
		if (seen_has(&c->seen, fingerprint(c, &step->hash)))
			continue;
		if (step->r == UNSEEN || (step->r == 0 && value))
			look_at(c, step, value);
		/* Gone meanwhile, no entry, or not ours to read: not shown. Anything else must not shorten the list silently. */
		r = step->r;
		if (r == -ENOENT || r == -EACCES || r == -EPERM)
			continue;
		if (r == 0)
			r = seen_add(&c->seen, fingerprint(c, &step->hash));
		if (r < 0)
			return r;
		key_from_hash(&step->hash, &ret->key);
		ret->stored = step->stored;
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
	for (unsigned i = 0; i < BATCHES; i++) {
		c->batches[i].cursor = c;
		c->batches[i].is_shared = false;
	}
	c->current = 0;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->returned, NULL);
	file_follow_path(c->backend);
	int r = begin_pass(c);
	if (r < 0) {
		file_list_end(&c->cursor);
		return r;
	}
	*ret = &c->cursor;
	return 0;
}

uint64_t file_position(const struct cursor *cursor)
{
	return ((const struct file_cursor *)cursor)->seen.count;
}

/* What comes after a position are all names but those before it: the directory is read again from its start. */
int file_seek(struct cursor *cursor, uint64_t position)
{
	struct file_cursor *c = cursor_of(cursor);
	take_back_all(c);
	seen_truncate(&c->seen, position);
	c->pass = 0;
	file_follow_path(c->backend);
	return begin_pass(c);
}

void file_list_end(struct cursor *cursor)
{
	struct file_cursor *c = cursor_of(cursor);
	take_back_all(c);
	if (c->directory >= 0)
		close(c->directory);
	seen_done(&c->seen);
	pthread_cond_destroy(&c->returned);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
