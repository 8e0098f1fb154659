#include "inode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct inodes {
	pthread_mutex_t lock;
	/* protected by lock */
	struct table by_id, by_what;
	uint64_t next_id;
};

int inodes_new(struct inodes **ret)
{
	struct inodes *inodes = calloc(1, sizeof *inodes);
	if (!inodes)
		return -ENOMEM;
	if (table_init(&inodes->by_id) < 0 || table_init(&inodes->by_what) < 0) {
		table_done(&inodes->by_id);
		free(inodes);
		return -ENOMEM;
	}
	pthread_mutex_init(&inodes->lock, NULL);
	inodes->next_id = INODE_FIRST;
	*ret = inodes;
	return 0;
}

static void inode_free(struct inode *inode)
{
	if (inode->key) {
		key_done(inode->key);
		free(inode->key);
	}
	free(inode);
}

void inodes_free(struct inodes *inodes)
{
	struct table_node *node;
	if (!inodes)
		return;
	while ((node = table_pop(&inodes->by_id)))
		inode_free(container_of(node, struct inode, by_id));
	table_done(&inodes->by_id);
	table_done(&inodes->by_what);
	pthread_mutex_destroy(&inodes->lock);
	free(inodes);
}

uint64_t inode_number(unsigned view, const struct key_hash *hash, const struct version *version)
{
	struct {
		struct key_hash hash;
		struct version version;
		uint64_t view;
	} what;
	memset(&what, 0, sizeof what);
	what.hash = *hash;
	what.version = *version;
	what.view = view;
	uint64_t number = XXH3_64bits(&what, sizeof what);
	/* The low numbers are the directories'. */
	return number < INODE_FIRST ? number + INODE_FIRST : number;
}

static struct inode *find(const struct inodes *inodes, unsigned view, bool interop, const struct key_hash *hash,
	const struct version *version, uint64_t number)
{
	struct table_node *node = table_first(&inodes->by_what, number);
	for (; node; node = table_next(node)) {
		struct inode *i = container_of(node, struct inode, by_what);
		if (i->view == view && i->interop == interop && key_hash_equal(&i->hash, hash) && version_equal(&i->version, version))
			return i;
	}
	return NULL;
}

static void remember_key(struct inode *inode, const struct key *key)
{
	if (!key->text || inode->key)
		return;
	struct key *copy = malloc(sizeof *copy);
	if (copy && key_copy(key, copy) == 0)
		inode->key = copy;
	else
		free(copy);
}

int inodes_enter(struct inodes *inodes, unsigned view, const struct key *key, const struct stored *stored, uint64_t size,
	struct inode **ret)
{
	bool interop = key_is_interop(key);
	uint64_t number = inode_number(view, &key->hash, &stored->version);
	pthread_mutex_lock(&inodes->lock);
	struct inode *i = find(inodes, view, interop, &key->hash, &stored->version, number);
	if (!i) {
		i = calloc(1, sizeof *i);
		if (!i) {
			pthread_mutex_unlock(&inodes->lock);
			return -ENOMEM;
		}
		i->id = inodes->next_id++;
		i->view = view;
		i->interop = interop;
		i->hash = key->hash;
		i->version = stored->version;
		i->written = stored->written;
		table_add(&inodes->by_id, &i->by_id, i->id);
		table_add(&inodes->by_what, &i->by_what, number);
	}
	i->lookups++;
	i->size = size;
	remember_key(i, key);
	pthread_mutex_unlock(&inodes->lock);
	*ret = i;
	return 0;
}

static struct inode *get(const struct inodes *inodes, uint64_t id)
{
	struct table_node *node = table_first(&inodes->by_id, id);
	return node ? container_of(node, struct inode, by_id) : NULL;
}

struct inode *inodes_get(struct inodes *inodes, uint64_t id)
{
	pthread_mutex_lock(&inodes->lock);
	struct inode *i = get(inodes, id);
	pthread_mutex_unlock(&inodes->lock);
	return i;
}

struct inode *inodes_hold(struct inodes *inodes, uint64_t id)
{
	pthread_mutex_lock(&inodes->lock);
	struct inode *i = get(inodes, id);
	if (i)
		i->lookups++;
	pthread_mutex_unlock(&inodes->lock);
	return i;
}

void inodes_forget(struct inodes *inodes, uint64_t id, uint64_t lookups)
{
	pthread_mutex_lock(&inodes->lock);
	struct inode *i = get(inodes, id);
	if (i) {
		i->lookups -= lookups < i->lookups ? lookups : i->lookups;
		if (i->lookups == 0) {
			table_remove(&inodes->by_id, &i->by_id);
			table_remove(&inodes->by_what, &i->by_what);
			inode_free(i);
		}
	}
	pthread_mutex_unlock(&inodes->lock);
}

int inode_key(struct inodes *inodes, const struct inode *inode, struct key *ret)
{
	int r = 0;
	pthread_mutex_lock(&inodes->lock);
	if (inode->key)
		r = key_copy(inode->key, ret);
	else
		key_from_hash(&inode->hash, ret);
	pthread_mutex_unlock(&inodes->lock);
	return r;
}

size_t inodes_count(struct inodes *inodes)
{
	pthread_mutex_lock(&inodes->lock);
	size_t n = inodes->by_id.count;
	pthread_mutex_unlock(&inodes->lock);
	return n;
}
