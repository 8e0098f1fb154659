#include "known.h"

#include "ckfs/cleanup.h"

struct known_node {
	struct kept_node node;
	struct mc_seen seen;
};

static struct known_node *of(struct kept_node *node)
{
	return node ? container_of(node, struct known_node, node) : NULL;
}

void mc_seen_done(struct mc_seen *seen)
{
	slice_done(&seen->value);
}

static void free_node(struct kept_node *node)
{
	mc_seen_done(&of(node)->seen);
	free(of(node));
}

int mc_known_init(struct mc_known *known)
{
	return kept_init(&known->kept, sizeof(struct known_node), MC_KNOWN_MAX, MC_KNOWN_BYTES_MAX, free_node);
}

void mc_known_done(struct mc_known *known)
{
	kept_done(&known->kept);
}

bool mc_known_get(struct mc_known *known, const struct key_hash *key, struct mc_seen *ret)
{
	LOCK(&known->kept.lock);
	const struct known_node *n = of(kept_find(&known->kept, key));
	if (!n)
		return false;
	*ret = n->seen;
	slice_copy(&n->seen.value, &ret->value);
	return true;
}

void mc_known_put(struct mc_known *known, const struct key_hash *key, const struct mc_seen *seen)
{
	LOCK(&known->kept.lock);
	struct known_node *n = of(kept_find_or_add(&known->kept, key));
	if (!n)
		return;
	mc_seen_done(&n->seen);
	n->seen = *seen;
	slice_copy(&seen->value, &n->seen.value);
	kept_charge(&known->kept, &n->node, seen->value.length);
}
