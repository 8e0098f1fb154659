/* Peeling: step after step, once for all who wait. */
#include "steps.h"

#include "ckfs/event.h"

#include <assert.h>
#include <errno.h>

/* A step that reads or makes more than this runs off the request threads. */
#define QUICK_BYTES (1u << 20)

static void show(struct entry *entry, unsigned have)
{
	LOCK(&entry->lock);
	entry->have = have;
}

/* Runs a step, and shows what it has made. Only the thread that peels writes `have`, so it may read it unlocked. */
static int run_step(struct entry *entry, const struct step *step, enum level level)
{
	unsigned have = entry->have;
	int r = step->run(entry, level, &have);
	show(entry, have);
	/* More of the value is needed than was found: it is fetched, and the step tried again. */
	if (r == -ENODATA && !(have & HAVE_WHOLE) && !entry->needs_whole) {
		entry->needs_whole = true;
		return 0;
	}
	return r;
}

static bool is_peeled(struct entry *entry)
{
	LOCK(&entry->lock);
	return entry->peeling;
}

bool entry_peel_quick(struct entry *entry, enum level level)
{
	assert(entry->listed);
	if (is_peeled(entry))
		return false;
	while (!entry_is_at(entry, entry->have, level)) {
		const struct step *step = step_towards(entry, entry->have, level);
		if (entry->needs_whole || step->cost(entry, level, entry->have) > 0 || run_step(entry, step, level) < 0)
			return false;
	}
	return true;
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
static struct work_pool *place_of(struct entry *entry, const struct step *step, enum level level)
{
	if (step->cost(entry, level, entry->have) <= QUICK_BYTES)
		return NULL;
	return step == &step_fetch ? entry->entries->fetchers : entry->entries->decoders;
}

/* What comes next once a step has ended with *r, and who need not wait for it. NULL: nothing. */
static const struct step *next_step(struct entry *entry, int *r, enum level *ret_level, struct entry_wait **ret_ready)
{
	const struct step *step = NULL;
	LOCK(&entry->lock);
	/* Whoever cancelled went away, and somebody else has come since. */
	if (*r == -EINTR && entry->cancel && entry->waiting && !entry->entries->stopping)
		*r = 0;
	*ret_ready = take_waiting(entry, *r < 0);
	if (*r == 0 && entry->waiting) {
		*ret_level = entry->waiting->level;
		step = step_towards(entry, entry->have, *ret_level);
	}
	entry->peeling = step;
	/* On the way to a stop the flag stays. */
	entry->cancel = entry->entries->stopping;
	return step;
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
		struct entry_wait *ready;
		enum level level = LEVEL_STORED;
		const struct step *step = next_step(entry, &r, &level, &ready);
		/* The entry may go with the last of them, but for the reference held here. */
		tell(ready, r);
		if (!step)
			break;
		struct work_pool *place = place_of(entry, step, level);
		if (place && place != here) {
			entry->place = place;
			entry->work.run = peel_on_worker;
			work_submit(place, &entry->work);
			return;
		}
		r = run_step(entry, step, level);
	}
	entry_unref(entry);
}

static void peel_on_worker(struct work *work)
{
	struct entry *entry = container_of(work, struct entry, work);
	peel_for_waiting(entry, entry->place);
}

/* Whether a waiter waits now; else *ret_r is its answer. *ret_start: nobody peels yet, and the caller is to. */
static bool enter(struct entry *entry, struct entry_wait *wait, int *ret_r, bool *ret_start)
{
	LOCK(&entry->lock);
	*ret_r = wait->cancelled ? -EINTR : 0;
	if (*ret_r < 0 || entry_is_at(entry, entry->have, wait->level))
		return false;
	*ret_start = !entry->peeling;
	wait->next = entry->waiting;
	entry->waiting = wait;
	entry->peeling = true;
	return true;
}

void entry_peel(struct entry *entry, enum level level, struct entry_wait *wait)
{
	int r;
	bool start;
	wait->level = level;
	if (!enter(entry, wait, &r, &start))
		wait->done(wait, r);
	else if (start)
		peel_for_waiting(entry_ref(entry), NULL);
}

bool entry_peel_cancel(struct entry *entry, struct entry_wait *wait)
{
	LOCK(&entry->lock);
	struct entry_wait **at = &entry->waiting;
	while (*at && *at != wait)
		at = &(*at)->next;
	bool found = *at;
	if (found)
		*at = wait->next;
	wait->cancelled = !found;
	if (found && !entry->waiting)
		entry->cancel = true;
	return found;
}

/* Of a listing, of who stores a value, or of a command: they wait themselves. */
struct patient_wait {
	struct entry_wait wait;
	struct event done;
	int r;
};

static void on_patient(struct entry_wait *wait, int r)
{
	struct patient_wait *patient = container_of(wait, struct patient_wait, wait);
	patient->r = r;
	event_tell(&patient->done);
}

int entry_peel_waiting(struct entry *entry, enum level level, const atomic_bool *cancel)
{
	struct patient_wait patient = {.wait = {.done = on_patient}};
	event_init(&patient.done, false);
	entry_peel(entry, level, &patient.wait);
	int r = event_take(&patient.done, cancel);
	if (r < 0 && !entry_peel_cancel(entry, &patient.wait))
		r = event_take(&patient.done, NULL);
	event_done(&patient.done);
	return r < 0 ? r : patient.r;
}
