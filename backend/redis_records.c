#include "redis_records.h"

#include <stdlib.h>

int records_init(struct records *records)
{
	*records = (struct records){0};
	pthread_mutex_init(&records->lock, NULL);
	return table_init(&records->table);
}

void record_done(struct record *record)
{
	slice_done(&record->value);
}

/* The helpers below run under records->lock. */

static struct record_node *find(const struct records *records, const struct key_hash *hash)
{
	struct table_node *node = table_first(&records->table, key_hash_short(hash));
	for (; node; node = table_next(node)) {
		struct record_node *n = container_of(node, struct record_node, node);
		if (key_hash_equal(&n->hash, hash))
			return n;
	}
	return NULL;
}

static void unlink_node(struct records *records, struct record_node *n)
{
	*(n->newer ? &n->newer->older : &records->newest) = n->older;
	*(n->older ? &n->older->newer : &records->oldest) = n->newer;
}

static void link_newest(struct records *records, struct record_node *n)
{
	n->newer = NULL;
	n->older = records->newest;
	*(n->older ? &n->older->newer : &records->oldest) = n;
	records->newest = n;
}

static void drop_value(struct records *records, struct record_node *n)
{
	if (!n->record.has_value)
		return;
	records->bytes -= n->record.value.length;
	n->record.has_value = false;
	slice_done(&n->record.value);
}

static void drop(struct records *records, struct record_node *n)
{
	drop_value(records, n);
	unlink_node(records, n);
	table_remove(&records->table, &n->node);
	free(n);
}

static void shrink(struct records *records)
{
	while (records->table.count > RECORDS_MAX || records->bytes > RECORDS_BYTES_MAX)
		drop(records, records->oldest);
}

static struct record_node *find_or_add(struct records *records, const struct key_hash *hash)
{
	struct record_node *n = find(records, hash);
	if (n) {
		unlink_node(records, n);
	} else {
		n = calloc(1, sizeof *n);
		if (!n)
			return NULL;
		n->hash = *hash;
		n->record.change = RECORD_NEVER;
		table_add(&records->table, &n->node, key_hash_short(hash));
	}
	link_newest(records, n);
	return n;
}

/* --- */

void records_done(struct records *records)
{
	while (records->oldest)
		drop(records, records->oldest);
	table_done(&records->table);
	pthread_mutex_destroy(&records->lock);
}

bool records_get(struct records *records, const struct key_hash *hash, struct record *ret)
{
	pthread_mutex_lock(&records->lock);
	struct record_node *n = find(records, hash);
	if (n) {
		unlink_node(records, n);
		link_newest(records, n);
		*ret = n->record;
		slice_copy(&n->record.value, &ret->value);
	}
	pthread_mutex_unlock(&records->lock);
	return n;
}

void records_put(struct records *records, const struct key_hash *hash, const struct record *record)
{
	pthread_mutex_lock(&records->lock);
	struct record_node *n = find_or_add(records, hash);
	if (n) {
		/* What another thread has found out of its heat stays. */
		int64_t hot_until = n->record.hot_until;
		drop_value(records, n);
		n->record = *record;
		n->record.hot_until = hot_until;
		slice_copy(&record->value, &n->record.value);
		records->bytes += record->value.length;
		shrink(records);
	}
	pthread_mutex_unlock(&records->lock);
}

void records_drop(struct records *records, const struct key_hash *hash)
{
	pthread_mutex_lock(&records->lock);
	struct record_node *n = find(records, hash);
	if (n) {
		drop_value(records, n);
		n->record = (struct record){.change = RECORD_NEVER, .hot_until = n->record.hot_until};
	}
	pthread_mutex_unlock(&records->lock);
}

bool records_claim(struct records *records, const struct key_hash *hash, const struct version *version, XXH128_hash_t content)
{
	pthread_mutex_lock(&records->lock);
	struct record_node *n = find(records, hash);
	bool is = n && version_equal(&n->record.version, version) &&
		(!n->record.content_known || XXH128_isEqual(n->record.content, content));
	if (is) {
		n->record.content_known = true;
		n->record.content = content;
	}
	pthread_mutex_unlock(&records->lock);
	return is;
}

void records_heat(struct records *records, const struct key_hash *hash, int64_t until)
{
	pthread_mutex_lock(&records->lock);
	struct record_node *n = find_or_add(records, hash);
	if (n)
		n->record.hot_until = until;
	shrink(records);
	pthread_mutex_unlock(&records->lock);
}
