#include "ckfs/known_keys.h"

#include "ckfs/cleanup.h"
#include "ckfs/name.h"
#include "ckfs/table.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct known_key {
	struct table_node node;
	struct key key;
};

struct known_keys {
	pthread_rwlock_t lock;
	struct table by_hash; /* protected by lock */
	size_t bytes;         /* protected by lock */
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

void known_keys_free(struct known_keys *known)
{
	struct table_node *node;
	if (!known)
		return;
	while ((node = table_pop(&known->by_hash))) {
		struct known_key *k = container_of(node, struct known_key, node);
		key_done(&k->key);
		free(k);
	}
	table_done(&known->by_hash);
	pthread_rwlock_destroy(&known->lock);
	free(known);
}

static const struct known_key *find(const struct known_keys *known, const struct key_hash *hash)
{
	struct table_node *node = table_first(&known->by_hash, key_hash_short(hash));
	for (; node; node = table_next(node)) {
		const struct known_key *k = container_of(node, struct known_key, node);
		if (key_hash_equal(&k->key.hash, hash))
			return k;
	}
	return NULL;
}

void known_keys_add(struct known_keys *known, const struct key *key)
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
	size_t bytes = sizeof *k + key->length;
	pthread_rwlock_wrlock(&known->lock);
	bool fits = known->bytes + bytes <= KNOWN_KEYS_MAX && !find(known, &key->hash);
	if (fits) {
		known->bytes += bytes;
		table_add(&known->by_hash, &k->node, key_hash_short(&key->hash));
	}
	pthread_rwlock_unlock(&known->lock);
	if (!fits) {
		key_done(&k->key);
		free(k);
	}
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

int known_keys_load(struct known_keys *known, const char *path, struct error *error)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return error_set(error, -errno, "keys=%s: %s", path, strerror(errno));
	cleanup_free char *line = NULL;
	size_t capacity = 0, number = 0;
	ssize_t n;
	int r = 0;
	while (r == 0 && (n = getline(&line, &capacity, file)) >= 0) {
		struct key key;
		number++;
		if (n > 0 && line[n - 1] == '\n')
			n--;
		if (n == 0)
			continue;
		r = name_line_to_key(line, (size_t)n, &key);
		if (r < 0) {
			error_set(error, r, "keys=%s: line %zu is no escaped key (%%25 for %%, %%2F for /)", path, number);
			break;
		}
		known_keys_add(known, &key);
		key_done(&key);
	}
	if (r == 0 && ferror(file))
		r = error_set(error, -EIO, "keys=%s: cannot be read", path);
	fclose(file);
	return r;
}
