#include "retries.h"

#include "ckfs/clock.h"

#include <stdlib.h>

/* A thread that has not come back after so many milliseconds was killed. */
#define RETRY_MS 30000

struct retry {
	struct retry *older, *newer;
	pid_t pid;
	uint64_t inode;      /* what its lookup has found */
	struct entry *entry; /* a reference; NULL: nothing yet */
	int64_t until;       /* monotonic ms */
};

static void retry_free(struct retry *retry)
{
	if (retry)
		entry_unref(retry->entry);
	free(retry);
}

/* The helpers below run under retries->lock. */

static void take_out(struct retries *retries, struct retry *retry)
{
	*(retry->older ? &retry->older->newer : &retries->oldest) = retry->newer;
	*(retry->newer ? &retry->newer->older : &retries->newest) = retry->older;
	retries->live--;
}

static void add(struct retries *retries, struct retry *retry)
{
	retry->until = clock_ms() + RETRY_MS;
	retry->newer = NULL;
	retry->older = retries->newest;
	*(retries->newest ? &retries->newest->newer : &retries->oldest) = retry;
	retries->newest = retry;
	retries->live++;
}

static struct retry *find(const struct retries *retries, pid_t pid)
{
	struct retry *retry = retries->newest;
	while (retry && retry->pid != pid)
		retry = retry->older;
	return retry;
}

/* Takes out the retry of a thread, if it has one. */
static struct retry *take(struct retries *retries, pid_t pid)
{
	struct retry *retry = find(retries, pid);
	if (retry)
		take_out(retries, retry);
	return retry;
}

/* Takes out one whose thread was killed. */
static struct retry *take_dead(struct retries *retries)
{
	struct retry *retry = retries->oldest;
	if (!retry || clock_ms() < retry->until)
		return NULL;
	take_out(retries, retry);
	return retry;
}

/* --- */

void retries_done(struct retries *retries)
{
	struct retry *retry;
	while ((retry = retries->oldest)) {
		take_out(retries, retry);
		retry_free(retry);
	}
}

void retry_note(struct retries *retries, pid_t pid)
{
	struct retry *retry = calloc(1, sizeof *retry);
	pthread_mutex_lock(&retries->lock);
	struct retry *before = take(retries, pid), *dead = take_dead(retries);
	if (retry) {
		retry->pid = pid;
		add(retries, retry);
	}
	pthread_mutex_unlock(&retries->lock);
	retry_free(before);
	retry_free(dead);
}

bool retry_is_due(struct retries *retries, pid_t pid)
{
	if (retries->live == 0)
		return false;
	pthread_mutex_lock(&retries->lock);
	bool is = find(retries, pid);
	pthread_mutex_unlock(&retries->lock);
	return is;
}

void retry_found(struct retries *retries, pid_t pid, uint64_t inode, struct entry *entry)
{
	if (retries->live == 0)
		return;
	struct entry *surplus = entry ? entry_ref(entry) : NULL;
	pthread_mutex_lock(&retries->lock);
	struct retry *retry = take(retries, pid), *dead = take_dead(retries);
	if (retry && entry) {
		struct entry *before = retry->entry;
		retry->entry = surplus;
		retry->inode = inode;
		surplus = before;
		add(retries, retry);
		retry = NULL;
	}
	pthread_mutex_unlock(&retries->lock);
	entry_unref(surplus);
	retry_free(retry);
	retry_free(dead);
}

struct entry *retry_take(struct retries *retries, pid_t pid, uint64_t inode)
{
	struct entry *entry = NULL;
	if (retries->live == 0)
		return NULL;
	pthread_mutex_lock(&retries->lock);
	struct retry *retry = take(retries, pid);
	pthread_mutex_unlock(&retries->lock);
	if (retry && retry->inode == inode) {
		entry = retry->entry;
		retry->entry = NULL;
	}
	retry_free(retry);
	return entry;
}
