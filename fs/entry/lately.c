#include "lately.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

void lately_init(struct lately *lately)
{
	pthread_mutex_init(&lately->lock, NULL);
}

void lately_done(struct lately *lately)
{
	pthread_mutex_destroy(&lately->lock);
}

void lately_note(struct lately *lately, const struct key_hash *key, const struct entry_id *id, uint64_t ask, int64_t until)
{
	const size_t i = key_hash_short(key) % LATELY;
	LOCK(&lately->lock);
	if (ask < lately->last[i].ask)
		return;
	lately->last[i].is = id;
	lately->last[i].ask = ask;
	lately->last[i].until = until;
	if (id)
		lately->last[i].id = *id;
}

bool lately_find(struct lately *lately, const struct key_hash *key, struct entry_id *ret)
{
	const size_t i = key_hash_short(key) % LATELY;
	LOCK(&lately->lock);
	if (!lately->last[i].is || clock_ms() >= lately->last[i].until || !key_hash_equal(&lately->last[i].id.key, key))
		return false;
	*ret = lately->last[i].id;
	return true;
}
