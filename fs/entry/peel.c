/* Peeling: step after step, once for all who wait. */
#include "entry_private.h"

#include <assert.h>
#include <errno.h>

/* A step that reads or makes more than this runs off the request threads. */
#define QUICK_BYTES (1u << 20)

/* Runs a step, and shows what it has made. Only the thread that peels writes `have`, so it may read it unlocked. */
static int run_step(struct entry *entry, const struct step *step)
{
	unsigned have = entry->have;
	int r = step->run(entry, &have);
	pthread_mutex_lock(&entry->lock);
	entry->have = have;
	pthread_mutex_unlock(&entry->lock);
	/* More of the value is needed than was found: it is fetched, and the step tried again. */
	if (r == -ENODATA && !(have & HAVE_WHOLE) && !entry->needs_whole) {
		entry->needs_whole = true;
		return 0;
	}
	return r;
}

bool entry_peel_quick(struct entry *entry, enum level level)
{
	assert(!entry->shared);
	while (!entry_is_at(entry, entry->have, level)) {
		const struct step *step = step_towards(entry, entry->have, level);
		if (entry->needs_whole || step->cost(entry, entry->have) > 0 || run_step(entry, step) < 0)
			return false;
	}
	return true;
}

int entry_peel_now(struct entry *entry, enum level level, bool fetch)
{
	assert(!entry->shared);
	int r = 0;
	while (r == 0 && (fetch || !entry->needs_whole) && !entry_is_at(entry, entry->have, level))
		r = run_step(entry, step_towards(entry, entry->have, level));
	return r == 0 && entry->needs_whole && !fetch ? -ENODATA : r;
}

/* Takes out the waiters whose level is reached, or all of them. entry->lock is held. */
static struct entry_wait *take_waiting(struct entry *entry, bool all)
{
	struct entry_wait *taken = NULL, **at = &entry->waiting;
	while (*at) {
		struct entry_wait *wait = *at;
		if (!all && !entry_is_at(entry, entry->have, wait->level)) {
			at = &wait->next;
			continue;
		}
		*at = wait->next;
		wait->next = taken;
		taken = wait;
	}
	return taken;
}

static void tell(struct entry_wait *wait, int r)
{
	while (wait) {
		struct entry_wait *next = wait->next;
		wait->done(wait, r);
		wait = next;
	}
}

/*
 * Whose threads a step that takes long runs on; NULL: any thread will do. Fetching waits, and must not keep a core's thread from
 * decoding meanwhile, nor a short fetch waiting for a long one.
 */
static struct work_pool *place_of(struct entry *entry, const struct step *step)
{
	if (step->cost(entry, entry->have) <= QUICK_BYTES)
		return NULL;
	return step == &step_fetch ? entry->entries->fetchers : entry->entries->decoders;
}

static void peel_on_worker(struct work *work);

/*
 * Peels until nobody waits any more, on a thread of `here` (NULL: a request's). A step that takes long moves to its place, where a worker
 * goes on with this.
 * The caller has set `peeling` and holds a reference, which this drops.
 */
static void peel_for_waiting(struct entry *entry, const struct work_pool *here)
{
	int r = 0;
	for (;;) {
		pthread_mutex_lock(&entry->lock);
		bool cancelled = r == -EINTR && entry->cancel && entry->waiting && !entry->entries->stopping;
		if (cancelled)
			r = 0; /* whoever cancelled went away, somebody else has come since */
		struct entry_wait *ready = take_waiting(entry, r < 0);
		const struct step *step = r == 0 && entry->waiting ? step_towards(entry, entry->have, entry->waiting->level) : NULL;
		entry->peeling = step;
		/* On the way to a stop the flag stays. */
		entry->cancel = entry->entries->stopping;
		pthread_mutex_unlock(&entry->lock);

		/* The entry may go with the last of them, but for the reference held here. */
		tell(ready, r);
		if (!step)
			break;
		struct work_pool *place = place_of(entry, step);
		if (place && place != here) {
			entry->place = place;
			entry->work.run = peel_on_worker;
			work_submit(place, &entry->work);
			return;
		}
		r = run_step(entry, step);
	}
	entry_unref(entry);
}

static void peel_on_worker(struct work *work)
{
	struct entry *entry = container_of(work, struct entry, work);
	peel_for_waiting(entry, entry->place);
}

void entry_peel(struct entry *entry, enum level level, struct entry_wait *wait)
{
	wait->level = level;
	pthread_mutex_lock(&entry->lock);
	int r = wait->cancelled ? -EINTR : 0;
	bool over = r < 0 || entry_is_at(entry, entry->have, level);
	bool start = !over && !entry->peeling;
	if (!over) {
		wait->next = entry->waiting;
		entry->waiting = wait;
		entry->peeling = true;
	}
	pthread_mutex_unlock(&entry->lock);
	if (over)
		wait->done(wait, r);
	else if (start)
		peel_for_waiting(entry_ref(entry), NULL);
}

bool entry_peel_cancel(struct entry *entry, struct entry_wait *wait)
{
	bool found = false;
	pthread_mutex_lock(&entry->lock);
	for (struct entry_wait **at = &entry->waiting; *at; at = &(*at)->next)
		if (*at == wait) {
			*at = wait->next;
			found = true;
			break;
		}
	wait->cancelled = !found;
	if (found && !entry->waiting)
		entry->cancel = true;
	pthread_mutex_unlock(&entry->lock);
	return found;
}
