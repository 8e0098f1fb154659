#include "inode.h"

#include "ckfs/cleanup.h"

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
	draft_unref(inode->draft);
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

/* What tells one inode from another. */
struct what {
	unsigned view;
	bool by_text, promised;
	const struct key_hash *hash;
	const struct version *version;
};

static struct inode *find(const struct inodes *inodes, const struct what *what, uint64_t number)
{
	struct table_node *node = table_first(&inodes->by_what, number);
	for (; node; node = table_next(node)) {
		struct inode *i = container_of(node, struct inode, by_what);
		if (!i->own && i->view == what->view && i->by_text == what->by_text && i->promised == what->promised && key_hash_equal(&i->hash, what->hash) &&
			version_equal(&i->version, what->version))
			return i;
	}
	return NULL;
}

/* 0, -ENOMEM: without it who opens the inode would ask for a hash, by which not all opens. */
static int remember_key(struct inode *inode, const struct key *key)
{
	if (!key->text || inode->key)
		return 0;
	struct key *copy = malloc(sizeof *copy);
	if (!copy || key_copy(key, copy) < 0) {
		free(copy);
		return -ENOMEM;
	}
	inode->key = copy;
	return 0;
}

/* inodes->lock is held. NULL without memory. */
static struct inode *add(struct inodes *inodes, const struct what *what, const struct key *key, const struct stored *stored, uint64_t number)
{
	struct inode *i = calloc(1, sizeof *i);
	if (!i || remember_key(i, key) < 0) {
		free(i);
		return NULL;
	}
	i->id = inodes->next_id++;
	i->view = what->view;
	i->by_text = what->by_text;
	i->promised = what->promised;
	i->hash = key->hash;
	i->version = stored->version;
	i->written = stored->written;
	table_add(&inodes->by_id, &i->by_id, i->id);
	table_add(&inodes->by_what, &i->by_what, number);
	return i;
}

static int enter(struct inodes *inodes, unsigned view, bool by_text, bool promised, bool own, const struct key *key, const struct stored *stored,
	uint64_t size, struct inode **ret)
{
	const struct what what = {view, by_text, promised, &key->hash, &stored->version};
	uint64_t number = inode_number(view, &key->hash, &stored->version);
	LOCK(&inodes->lock);
	struct inode *i = own ? NULL : find(inodes, &what, number);
	if (!i) {
		i = add(inodes, &what, key, stored, number);
		/* Nobody has it yet. */
		if (i)
			i->own = own;
	}
	if (!i || remember_key(i, key) < 0)
		return -ENOMEM;
	i->lookups++;
	i->size = size;
	*ret = i;
	return 0;
}

int inodes_enter(struct inodes *inodes, unsigned view, bool by_text, bool promised, const struct key *key, const struct stored *stored, uint64_t size,
	struct inode **ret)
{
	return enter(inodes, view, by_text, promised, false, key, stored, size, ret);
}

int inodes_enter_own(struct inodes *inodes, unsigned view, bool by_text, bool promised, const struct key *key, const struct stored *stored, uint64_t size,
	struct inode **ret)
{
	return enter(inodes, view, by_text, promised, true, key, stored, size, ret);
}

static struct inode *get(const struct inodes *inodes, uint64_t id)
{
	struct table_node *node = table_first(&inodes->by_id, id);
	return node ? container_of(node, struct inode, by_id) : NULL;
}

struct inode *inodes_get(struct inodes *inodes, uint64_t id)
{
	LOCK(&inodes->lock);
	return get(inodes, id);
}

struct inode *inodes_hold(struct inodes *inodes, uint64_t id)
{
	LOCK(&inodes->lock);
	struct inode *i = get(inodes, id);
	if (i)
		i->lookups++;
	return i;
}

bool inodes_forget(struct inodes *inodes, uint64_t id, uint64_t lookups)
{
	LOCK(&inodes->lock);
	struct inode *i = get(inodes, id);
	if (!i)
		return false;
	i->lookups -= lookups < i->lookups ? lookups : i->lookups;
	if (i->lookups > 0)
		return false;
	table_remove(&inodes->by_id, &i->by_id);
	table_remove(&inodes->by_what, &i->by_what);
	bool promised = i->promised;
	inode_free(i);
	return promised;
}

int inode_key(struct inodes *inodes, const struct inode *inode, struct key *ret)
{
	LOCK(&inodes->lock);
	if (inode->key)
		return key_copy(inode->key, ret);
	key_from_hash(&inode->hash, ret);
	return 0;
}

size_t inodes_count(struct inodes *inodes)
{
	LOCK(&inodes->lock);
	return inodes->by_id.count;
}
