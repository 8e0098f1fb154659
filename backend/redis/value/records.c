#include "records.h"

#include "ckfs/cleanup.h"

static struct record_node *of(struct kept_node *node)
{
	return node ? container_of(node, struct record_node, node) : NULL;
}

void record_done(struct record *record)
{
	slice_done(&record->value);
}

static void free_node(struct kept_node *node)
{
	record_done(&of(node)->record);
	free(of(node));
}

int records_init(struct records *records)
{
	return kept_init(&records->kept, sizeof(struct record_node), RECORDS_MAX, RECORDS_BYTES_MAX, free_node);
}

void records_done(struct records *records)
{
	kept_done(&records->kept);
}

bool records_get(struct records *records, const struct key_hash *hash, struct record *ret)
{
	LOCK(&records->kept.lock);
	struct record_node *n = of(kept_find(&records->kept, hash));
	if (!n)
		return false;
	*ret = n->record;
	slice_copy(&n->record.value, &ret->value);
	return true;
}

void records_put(struct records *records, const struct key_hash *hash, const struct record *record)
{
	LOCK(&records->kept.lock);
	struct record_node *n = of(kept_find_or_add(&records->kept, hash));
	if (!n)
		return;
	record_done(&n->record);
	n->record = *record;
	slice_copy(&record->value, &n->record.value);
	kept_charge(&records->kept, &n->node, record->value.length);
}

void records_drop(struct records *records, const struct key_hash *hash)
{
	LOCK(&records->kept.lock);
	struct kept_node *n = kept_find(&records->kept, hash);
	if (n)
		kept_drop(&records->kept, n);
}

bool records_claim(struct records *records, const struct key_hash *hash, const struct version *version, XXH128_hash_t content)
{
	LOCK(&records->kept.lock);
	struct record_node *n = of(kept_find(&records->kept, hash));
	if (!n || !version_takes_content(&n->record.known, version, content))
		return false;
	n->record.known.content_known = true;
	n->record.known.content = content;
	return true;
}
