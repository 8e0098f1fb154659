#include "expiries.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

/* So long what was told is told again. */
#define TOLD_MS 1000

void expiries_init(struct expiries *expiries)
{
	*expiries = (struct expiries){.last[0].until = 0};
	pthread_mutex_init(&expiries->lock, NULL);
}

void expiries_done(struct expiries *expiries)
{
	pthread_mutex_destroy(&expiries->lock);
}

uint64_t expiries_ask(struct expiries *expiries)
{
	LOCK(&expiries->lock);
	return expiries->changes;
}

void expiries_drop(struct expiries *expiries, const struct key_hash *key)
{
	const size_t i = key_hash_short(key) % EXPIRIES;
	LOCK(&expiries->lock);
	expiries->last[i].changed = ++expiries->changes;
	expiries->last[i].until = 0;
}

void expiries_note(struct expiries *expiries, const struct key_hash *key, const struct version *version, uint64_t ask, int64_t expires)
{
	const size_t i = key_hash_short(key) % EXPIRIES;
	LOCK(&expiries->lock);
	if (expiries->last[i].changed > ask)
		return;
	expiries->last[i].key = *key;
	expiries->last[i].version = *version;
	expiries->last[i].expires = expires;
	expiries->last[i].until = clock_ms() + TOLD_MS;
}

bool expiries_find(struct expiries *expiries, const struct key_hash *key, const struct version *version, int64_t *ret)
{
	const size_t i = key_hash_short(key) % EXPIRIES;
	LOCK(&expiries->lock);
	const bool is_it = key_hash_equal(&expiries->last[i].key, key) && version_equal(&expiries->last[i].version, version);
	if (!is_it || clock_ms() >= expiries->last[i].until)
		return false;
	*ret = expiries->last[i].expires;
	return true;
}

void expiries_forget(struct expiries *expiries)
{
	LOCK(&expiries->lock);
	for (size_t i = 0; i < EXPIRIES; i++)
		expiries->last[i].until = 0;
}
