#include "entry_private.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

int kept_init(struct kept *kept)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&kept->lock, NULL);
	pthread_cond_init(&kept->changed, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

static bool is_past(const struct timespec *deadline)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec != deadline->tv_sec ? now.tv_sec > deadline->tv_sec : now.tv_nsec >= deadline->tv_nsec;
}

/* kept->lock is held. */
static void take_out(struct kept *kept, struct entry *entry)
{
	*(entry->kept_before ? &entry->kept_before->kept_after : &kept->first) = entry->kept_after;
	*(entry->kept_after ? &entry->kept_after->kept_before : &kept->last) = entry->kept_before;
	entry->kept_before = entry->kept_after = NULL;
	entry->is_kept = false;
	kept->count--;
}

/* Waits for deadlines. An idle mount so holds no descriptor of a deleted entry. */
static void *kept_thread(void *arg)
{
	struct kept *kept = arg;
	pthread_mutex_lock(&kept->lock);
	while (!kept->ending) {
		struct entry *oldest = kept->first;
		if (!oldest) {
			pthread_cond_wait(&kept->changed, &kept->lock);
		} else if (is_past(&oldest->kept_until)) {
			take_out(kept, oldest);
			pthread_mutex_unlock(&kept->lock);
			entry_unref(oldest);
			pthread_mutex_lock(&kept->lock);
		} else {
			struct timespec until = oldest->kept_until;
			pthread_cond_timedwait(&kept->changed, &kept->lock, &until);
		}
	}
	pthread_mutex_unlock(&kept->lock);
	return NULL;
}

static void start_thread(struct kept *kept)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	kept->started = pthread_create(&kept->thread, NULL, kept_thread, kept) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void kept_add(struct kept *kept, struct entry *entry)
{
	struct entry *surplus = NULL;
	entry_ref(entry);
	pthread_mutex_lock(&kept->lock);
	if (!kept->started)
		start_thread(kept);
	bool was_empty = !kept->first;
	if (entry->is_kept) {
		take_out(kept, entry);
		surplus = entry; /* it had a reference already */
	} else if (kept->count >= KEPT_MAX) {
		surplus = kept->first;
		take_out(kept, surplus);
	}
	clock_gettime(CLOCK_MONOTONIC, &entry->kept_until);
	entry->kept_until.tv_sec += KEPT_MS / 1000;
	entry->kept_before = kept->last;
	*(kept->last ? &kept->last->kept_after : &kept->first) = entry;
	kept->last = entry;
	entry->is_kept = true;
	kept->count++;
	if (was_empty)
		pthread_cond_signal(&kept->changed);
	pthread_mutex_unlock(&kept->lock);
	if (surplus)
		entry_unref(surplus);
}

void kept_drop(struct kept *kept)
{
	pthread_mutex_lock(&kept->lock);
	while (kept->first) {
		struct entry *entry = kept->first;
		take_out(kept, entry);
		pthread_mutex_unlock(&kept->lock);
		entry_unref(entry);
		pthread_mutex_lock(&kept->lock);
	}
	pthread_mutex_unlock(&kept->lock);
}

void kept_done(struct kept *kept)
{
	pthread_mutex_lock(&kept->lock);
	kept->ending = true;
	pthread_cond_signal(&kept->changed);
	pthread_mutex_unlock(&kept->lock);
	if (kept->started)
		pthread_join(kept->thread, NULL);
	kept_drop(kept);
	pthread_cond_destroy(&kept->changed);
	pthread_mutex_destroy(&kept->lock);
}
