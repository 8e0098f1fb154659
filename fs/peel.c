/* Peeling: entry after entry, level after level, once for all who wait. */
#include "entry_private.h"

#include <assert.h>
#include <errno.h>

/* What reads more than this runs off the request threads. */
#define QUICK_BYTES (1u << 20)

int peel_stored(struct entry *entry)
{
	const char *reason = NULL;
	const struct slice *value = &entry->stored.value;
	int r = frame_read(value, entry->interop, &entry->frame, &reason);
	if (r == -EUCLEAN || r == -EFBIG) {
		entry->frame_fault = r;
		entry->frame_reason = reason;
		return 0;
	}
	if (r < 0)
		return r;
	uint8_t first;
	if (entry->frame.kind == FRAME_NONE && value->length > 0) {
		r = slice_read(value, 0, &first, 1);
		entry->maybe_legacy = r == 0 && first == '{';
	}
	return r;
}

static int write_spool(void *arg, const void *bytes, size_t n)
{
	return spool_write(arg, bytes, n);
}

static int restart_spool(void *arg)
{
	return spool_restart(arg);
}

/* A legacy frame's payload is always a copy. */
static int peel_legacy(struct entry *entry)
{
	const struct slice *value = &entry->stored.value;
	struct spool_writer writer;
	struct frame frame;
	int r = spool_begin(&entry->entries->spool, value->length / 4 * 3 + 3, &writer);
	if (r < 0)
		return r;
	const struct legacy_sink sink = {.write = write_spool, .restart = restart_spool, .arg = &writer};
	r = legacy_read(value, &sink, &entry->cancel, &frame);
	if (r < 0 || frame.kind == FRAME_NONE) {
		spool_abort(&writer);
		if (r < 0)
			return r;
		slice_copy(value, &entry->payload);
	} else {
		r = spool_end(&writer, &entry->payload);
		if (r < 0) {
			frame_done(&frame);
			return r;
		}
	}
	frame_done(&entry->frame);
	entry->frame = frame;
	return 0;
}

static int peel_payload(struct entry *entry)
{
	if (entry->frame_fault < 0)
		return 0;
	if (entry->maybe_legacy)
		return peel_legacy(entry);
	return slice_sub(&entry->stored.value, entry->frame.payload_offset, entry->frame.payload_length, &entry->payload);
}

static int peel_document(struct entry *entry)
{
	if (entry->frame_fault < 0)
		return 0;
	int r = document_locate(&entry->frame, &entry->payload, &entry->document);
	if (r == 0 && document_has_check(&entry->document))
		entry->has_verdict = learnt_get(entry->entries->learnt, &entry->stored.version, &entry->verdict);
	return r;
}

/* Whether the next check has to read the payload. */
static bool check_reads(const struct entry *entry)
{
	bool wanted = entry->entries->options->verify == VERIFY_FIRST || document_needs_check(&entry->document);
	return wanted && !entry->has_verdict && document_has_check(&entry->document);
}

static int peel_checked(struct entry *entry)
{
	if (!check_reads(entry))
		return 0;
	struct stats *stats = entry->entries->stats;
	stats_add(stats, checks, 1);
	stats_add(stats, checked_bytes, entry->payload.length);
	int r = document_check(&entry->document, &entry->payload, &entry->cancel, &entry->verdict);
	if (r < 0)
		return r;
	entry->has_verdict = true;
	if (entry->verdict.fault < 0)
		stats_add(stats, check_failures, 1);
	learnt_put(entry->entries->learnt, &entry->stored.version, &entry->verdict);
	return 0;
}

static int peel_to(struct entry *entry, enum level level)
{
	switch (level) {
	case LEVEL_PAYLOAD:
		return peel_payload(entry);
	case LEVEL_DOCUMENT:
		return peel_document(entry);
	case LEVEL_CHECKED:
		return peel_checked(entry);
	default:
		return 0;
	}
}

/* Bytes that the step to a level reads. */
static uint64_t cost_of(const struct entry *entry, enum level level)
{
	if (level == LEVEL_PAYLOAD)
		return entry->maybe_legacy ? entry->stored.value.length : 0;
	return level == LEVEL_CHECKED && check_reads(entry) ? entry->payload.length : 0;
}

static void set_level(struct entry *entry, enum level level)
{
	/* Where nothing is to be read for it, or a verdict is remembered, a document found is a document checked. */
	if (level == LEVEL_DOCUMENT && !check_reads(entry))
		level = LEVEL_CHECKED;
	pthread_mutex_lock(&entry->lock);
	entry->level = level;
	pthread_mutex_unlock(&entry->lock);
}

enum level entry_peel_quick(struct entry *entry, enum level level)
{
	assert(!entry->shared);
	while (entry->level < level && cost_of(entry, entry->level + 1) == 0 && peel_to(entry, entry->level + 1) == 0)
		set_level(entry, entry->level + 1);
	return entry->level;
}

int entry_peel_now(struct entry *entry, enum level level)
{
	assert(!entry->shared);
	int r = 0;
	while (r == 0 && entry->level < level) {
		r = peel_to(entry, entry->level + 1);
		if (r == 0)
			set_level(entry, entry->level + 1);
	}
	return r;
}

/* Takes out the waiters whom `level` satisfies, or all of them. entry->lock is held. */
static struct entry_wait *take_waiting(struct entry *entry, bool all)
{
	struct entry_wait *taken = NULL, **at = &entry->waiting;
	while (*at) {
		struct entry_wait *wait = *at;
		if (!all && wait->level > entry->level) {
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

static void peel_on_worker(struct work *work);

/*
 * Peels until nobody waits any more. A step that takes long moves to a worker, which goes on here.
 * The caller has set `peeling` and holds a reference, which this drops.
 */
static void peel_for_waiting(struct entry *entry, bool on_worker)
{
	int r = 0;
	for (;;) {
		pthread_mutex_lock(&entry->lock);
		bool cancelled = r == -EINTR && entry->waiting && !entry->entries->stopping;
		if (cancelled)
			r = 0; /* whoever cancelled went away, somebody else has come since */
		struct entry_wait *ready = take_waiting(entry, r < 0);
		bool more = r == 0 && entry->waiting;
		entry->peeling = more;
		enum level next = entry->level + 1;
		/* On the way to a stop the flag stays. */
		entry->cancel = entry->entries->stopping;
		pthread_mutex_unlock(&entry->lock);

		/* The entry may go with the last of them, but for the reference held here. */
		tell(ready, r);
		if (!more)
			break;
		if (!on_worker && cost_of(entry, next) > QUICK_BYTES) {
			entry->work.run = peel_on_worker;
			work_submit(entry->entries->pool, &entry->work);
			return;
		}
		r = peel_to(entry, next);
		if (r == 0)
			set_level(entry, next);
	}
	entry_unref(entry);
}

static void peel_on_worker(struct work *work)
{
	peel_for_waiting(container_of(work, struct entry, work), true);
}

void entry_peel(struct entry *entry, enum level level, struct entry_wait *wait)
{
	wait->level = level;
	pthread_mutex_lock(&entry->lock);
	int r = wait->cancelled ? -EINTR : 0;
	bool over = r < 0 || entry->level >= level;
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
		peel_for_waiting(entry_ref(entry), false);
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
