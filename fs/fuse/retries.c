#include "retries.h"

#include "ckfs/clock.h"

#include <stddef.h>

/* How long a thread may take to come back, in milliseconds. */
#define RETRY_MS 2000

static struct retry *find(struct retries *retries, pid_t pid)
{
	int64_t at = clock_ms();
	for (size_t i = 0; i < RETRIES_MAX; i++)
		if (retries->slots[i].pid == pid && retries->slots[i].until >= at)
			return &retries->slots[i];
	return NULL;
}

void retry_note(struct retries *retries, pid_t pid)
{
	pthread_mutex_lock(&retries->lock);
	struct retry *slot = &retries->slots[retries->next++ % RETRIES_MAX];
	if (slot->until == 0)
		retries->live++;
	*slot = (struct retry){.pid = pid, .until = clock_ms() + RETRY_MS};
	pthread_mutex_unlock(&retries->lock);
}

static void end(struct retries *retries, struct retry *slot)
{
	slot->until = 0;
	retries->live--;
}

void retry_found(struct retries *retries, pid_t pid, uint64_t inode)
{
	if (retries->live == 0)
		return;
	pthread_mutex_lock(&retries->lock);
	struct retry *slot = find(retries, pid);
	if (slot && inode)
		slot->inode = inode;
	else if (slot)
		end(retries, slot);
	pthread_mutex_unlock(&retries->lock);
}

bool retry_take(struct retries *retries, pid_t pid, uint64_t inode)
{
	if (retries->live == 0)
		return false;
	pthread_mutex_lock(&retries->lock);
	struct retry *slot = find(retries, pid);
	bool comes_back = slot && slot->inode == inode;
	if (slot)
		end(retries, slot);
	pthread_mutex_unlock(&retries->lock);
	return comes_back;
}
