#include "ckfs/known_keys.h"

#include "ckfs/cleanup.h"
#include "ckfs/name.h"
#include "ckfs/path.h"
#include "ckfs/read.h"
#include "ckfs/table.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* What is read of a file with keys: it may be a pipe without an end. */
#define KEYS_FILE_MAX (UINT64_C(1) << 30)
#define KEYS_LINES_MAX 10000000
#define KEYS_LINE_MAX ((size_t)4 << 20)

struct known_key {
	struct table_node node;
	struct key key;
	bool given; /* by -o keys= */
};

struct known_keys {
	pthread_rwlock_t lock;
	struct table by_hash; /* protected by lock */
	size_t bytes;         /* protected by lock */
};

/* The file of -o keys=, as far as it was read. */
struct keys_file {
	const char *path;
	int fd;
	size_t number; /* of the last line that was taken */
	size_t length;   /* of the text: what follows that line */
	size_t searched; /* of the text: no line ends in there */
	char text[KEYS_LINE_MAX];
};

int known_keys_new(struct known_keys **ret)
{
	struct known_keys *known = calloc(1, sizeof *known);
	if (!known || table_init(&known->by_hash) < 0) {
		free(known);
		return -ENOMEM;
	}
	pthread_rwlock_init(&known->lock, NULL);
	*ret = known;
	return 0;
}

static void free_one(struct known_key *k)
{
	if (!k)
		return;
	key_done(&k->key);
	free(k);
}

static size_t bytes_of(const struct known_key *k)
{
	return sizeof *k + k->key.length;
}

void known_keys_free(struct known_keys *known)
{
	struct table_node *node;
	if (!known)
		return;
	while ((node = table_pop(&known->by_hash)))
		free_one(container_of(node, struct known_key, node));
	table_done(&known->by_hash);
	pthread_rwlock_destroy(&known->lock);
	free(known);
}

static struct known_key *find(const struct known_keys *known, const struct key_hash *hash)
{
	struct table_node *node = table_first(&known->by_hash, key_hash_short(hash));
	for (; node; node = table_next(node)) {
		struct known_key *k = container_of(node, struct known_key, node);
		if (key_hash_equal(&k->key.hash, hash))
			return k;
	}
	return NULL;
}

static void add(struct known_keys *known, const struct key *key, bool given)
{
	if (!key->text)
		return;
	pthread_rwlock_rdlock(&known->lock);
	bool present = find(known, &key->hash) != NULL;
	pthread_rwlock_unlock(&known->lock);
	if (present)
		return;

	struct known_key *k = calloc(1, sizeof *k);
	if (!k || key_copy(key, &k->key) < 0) {
		free(k);
		return;
	}
	k->given = given;
	size_t bytes = bytes_of(k);
	pthread_rwlock_wrlock(&known->lock);
	bool fits = known->bytes + bytes <= KNOWN_KEYS_MAX && !find(known, &key->hash);
	if (fits) {
		known->bytes += bytes;
		table_add(&known->by_hash, &k->node, key_hash_short(&key->hash));
	}
	pthread_rwlock_unlock(&known->lock);
	if (!fits)
		free_one(k);
}

void known_keys_add(struct known_keys *known, const struct key *key)
{
	add(known, key, false);
}

void known_keys_unlearn(struct known_keys *known, const struct key_hash *hash)
{
	pthread_rwlock_wrlock(&known->lock);
	struct known_key *k = find(known, hash);
	if (k && k->given)
		k = NULL;
	if (k) {
		known->bytes -= bytes_of(k);
		table_remove(&known->by_hash, &k->node);
	}
	pthread_rwlock_unlock(&known->lock);
	free_one(k);
}

int known_keys_hashes(struct known_keys *known, struct key_hash **ret, size_t *ret_count)
{
	size_t n = 0;
	pthread_rwlock_rdlock(&known->lock);
	struct key_hash *hashes = calloc(known->by_hash.count ? known->by_hash.count : 1, sizeof *hashes);
	for (size_t i = 0; hashes && i < known->by_hash.bucket_count; i++)
		for (struct table_node *node = known->by_hash.buckets[i]; node; node = node->next)
			hashes[n++] = container_of(node, struct known_key, node)->key.hash;
	pthread_rwlock_unlock(&known->lock);
	if (!hashes)
		return -ENOMEM;
	*ret = hashes;
	*ret_count = n;
	return 0;
}

int known_keys_find(struct known_keys *known, const struct key_hash *hash, struct key *ret)
{
	int r = 0;
	pthread_rwlock_rdlock(&known->lock);
	const struct known_key *k = find(known, hash);
	if (k)
		r = key_copy(&k->key, ret);
	else
		key_from_hash(hash, ret);
	pthread_rwlock_unlock(&known->lock);
	return r;
}

/* Remembers the key of a line; nothing for an empty one. */
static int load_line(struct known_keys *known, const struct keys_file *file, const char *line, size_t n, struct error *error)
{
	cleanup_key struct key key = {0};
	if (file->number > KEYS_LINES_MAX)
		return error_set(error, -EFBIG, "keys=%.300s: more than %d million lines; name fewer keys", file->path, KEYS_LINES_MAX / 1000000);
	int r = n > 0 ? name_line_to_key(line, n, &key) : 0;
	if (r < 0)
		return error_set(error, r, "keys=%.300s: line %zu is not an escaped key (write %%25 for %%, %%2F for /)", file->path, file->number);
	/* An empty line is no key: nothing is remembered of it. */
	add(known, &key, true);
	return 0;
}

/* Takes the whole lines that were read; the last line need not end. */
static int take_lines(struct known_keys *known, struct keys_file *file, bool at_end, struct error *error)
{
	char *line = file->text, *end = file->text + file->length, *next, *from = line + file->searched;
	int r = 0;
	while (r == 0 && line < end) {
		next = memchr(from, '\n', (size_t)(end - from));
		if (!next && !at_end)
			break;
		file->number++;
		r = load_line(known, file, line, (size_t)((next ? next : end) - line), error);
		line = from = next ? next + 1 : end;
	}
	file->length = file->searched = (size_t)(end - line);
	if (line > file->text)
		memmove(file->text, line, file->length);
	return r;
}

static int load_lines(struct known_keys *known, struct keys_file *file, struct error *error)
{
	uint64_t total = 0;
	ssize_t n;
	int r;
	do {
		if (file->length == sizeof file->text)
			return error_set(error, -EINVAL, "keys=%.300s: line %zu is longer than any key", file->path, file->number + 1);
		n = read_patiently(file->fd, file->text + file->length, sizeof file->text - file->length);
		if (n < 0)
			return error_set(error, -errno, "keys=%.300s: %s", file->path, strerror(errno));
		total += (size_t)n;
		if (total > KEYS_FILE_MAX)
			return error_set(error, -EFBIG, "keys=%.300s: longer than %d MiB; name fewer keys", file->path, (int)(KEYS_FILE_MAX >> 20));
		file->length += (size_t)n;
		r = take_lines(known, file, n == 0, error);
	} while (r == 0 && n > 0);
	return r;
}

int known_keys_load(struct known_keys *known, const char *path, struct error *error)
{
	cleanup_free struct keys_file *file = calloc(1, sizeof *file);
	cleanup_close int fd = path_open(path);
	if (!file)
		return error_set(error, -ENOMEM, "no memory");
	if (fd < 0)
		return error_set(error, fd, "keys=%.300s: %s", path, strerror(-fd));
	file->path = path;
	file->fd = fd;
	return load_lines(known, file, error);
}
