#include "retries.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/table.h"

#include <stdlib.h>

struct promise {
	struct deadline deadline;
	uint64_t inode;
	struct entry *entry; /* a reference */
	unsigned opens;      /* lookups that may be followed by one */
};

static struct promise *promise_of(struct deadline *deadline)
{
	return container_of(deadline, struct promise, deadline);
}

static void promise_free(struct promise *promise)
{
	if (promise)
		entry_unref(promise->entry);
	free(promise);
}

static void on_over(struct deadline *deadline)
{
	promise_free(promise_of(deadline));
}

void retries_init(struct retries *retries)
{
	*retries = (struct retries){.any = false};
	deadlines_init(&retries->promises, RETRY_MS, on_over);
}

void retries_done(struct retries *retries)
{
	deadlines_done(&retries->promises);
}

/* The helpers below run under the lock. */

static struct promise *take_out(struct retries *retries, struct promise *promise)
{
	deadlines_remove(&retries->promises, &promise->deadline);
	return promise;
}

static struct promise *find(const struct retries *retries, uint64_t inode)
{
	struct deadline *deadline = retries->promises.last;
	while (deadline && promise_of(deadline)->inode != inode)
		deadline = deadline->before;
	return deadline ? promise_of(deadline) : NULL;
}

/* --- */

void retry_note(struct retries *retries, const struct key_hash *key)
{
	LOCK(&retries->promises.lock);
	unsigned i = 0;
	while (i < RETRIES_MAX && !key_hash_equal(&retries->due[i].key, key))
		i++;
	if (i == RETRIES_MAX) {
		i = retries->next_due;
		retries->next_due = (i + 1) % RETRIES_MAX;
	}
	retries->due[i].key = *key;
	retries->due[i].until = clock_ms() + RETRY_MS;
	retries->any = true;
}

bool retry_is_due(struct retries *retries, const struct key_hash *key)
{
	bool is = false;
	if (!retries->any)
		return false;
	LOCK(&retries->promises.lock);
	for (unsigned i = 0; !is && i < RETRIES_MAX; i++)
		is = key_hash_equal(&retries->due[i].key, key) && clock_ms() < retries->due[i].until;
	return is;
}

/* --- those who opened no name --- */

/* Takes a thread out, and those who did not come back. The inode that it was told of; 0: none. Under the lock. */
static uint64_t forget_told(struct retries *retries, pid_t thread)
{
	const int64_t now = clock_ms();
	uint64_t inode = 0;
	for (unsigned i = 0; i < TOLD_MAX; i++) {
		const bool is_over = now >= retries->told[i].until;
		if (!retries->told[i].thread || (retries->told[i].thread != thread && !is_over))
			continue;
		if (!is_over)
			inode = retries->told[i].inode;
		retries->told[i].thread = 0;
		retries->told_count--;
	}
	return inode;
}

void retry_tell(struct retries *retries, pid_t thread, uint64_t inode)
{
	if (thread == 0)
		return;
	LOCK(&retries->promises.lock);
	forget_told(retries, thread);
	const unsigned i = retries->next_told;
	retries->next_told = (i + 1) % TOLD_MAX;
	retries->told_count += retries->told[i].thread == 0;
	retries->told[i].thread = thread;
	retries->told[i].inode = inode;
	retries->told[i].until = clock_ms() + STALE_MS;
}

void retry_looks_up(struct retries *retries, pid_t thread)
{
	if (thread == 0 || retries->told_count == 0)
		return;
	LOCK(&retries->promises.lock);
	forget_told(retries, thread);
}

bool retry_has_no_name(struct retries *retries, pid_t thread, uint64_t inode)
{
	if (thread == 0 || retries->told_count == 0)
		return false;
	LOCK(&retries->promises.lock);
	return forget_told(retries, thread) == inode;
}

/* --- */

void retry_note_writer(struct retries *retries)
{
	retries->writers_until = clock_ms() + RETRY_MS;
}

bool retry_of_writer_is_due(const struct retries *retries)
{
	return retries->writers_until && clock_ms() < retries->writers_until;
}

/* Keeps `mine`, or the promise that there is for its inode. What has no place any more; NULL: nothing. */
static struct promise *keep(struct retries *retries, uint64_t inode, struct promise *mine)
{
	struct promise *surplus = NULL;
	LOCK(&retries->promises.lock);
	struct promise *before = find(retries, inode);
	if (before) {
		surplus = mine;
		mine = take_out(retries, before);
		mine->opens++;
	} else if (retries->promises.count == RETRIES_MAX) {
		surplus = take_out(retries, promise_of(retries->promises.first));
	}
	if (mine)
		deadlines_add(&retries->promises, &mine->deadline);
	return surplus;
}

void retry_promise(struct retries *retries, uint64_t inode, struct entry *entry)
{
	struct promise *mine = calloc(1, sizeof *mine);
	if (mine)
		*mine = (struct promise){.inode = inode, .entry = entry_ref(entry), .opens = 1};
	promise_free(keep(retries, inode, mine));
}

/* One open of an inode. What is promised no more by that; NULL: nothing. */
static struct promise *take_one(struct retries *retries, uint64_t inode, struct entry **ret)
{
	LOCK(&retries->promises.lock);
	struct promise *promise = find(retries, inode);
	if (!promise)
		return NULL;
	*ret = entry_ref(promise->entry);
	return --promise->opens == 0 ? take_out(retries, promise) : NULL;
}

struct entry *retry_take(struct retries *retries, uint64_t inode)
{
	struct entry *entry = NULL;
	if (retries->any)
		promise_free(take_one(retries, inode, &entry));
	return entry;
}

static struct promise *take_out_inode(struct retries *retries, uint64_t inode)
{
	LOCK(&retries->promises.lock);
	struct promise *promise = find(retries, inode);
	return promise ? take_out(retries, promise) : NULL;
}

void retry_forget(struct retries *retries, uint64_t inode)
{
	promise_free(take_out_inode(retries, inode));
}
