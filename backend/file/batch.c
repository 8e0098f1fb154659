#include "batch.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/table.h"

#include <errno.h>
#include <string.h>

/* A batch of fewer names is not worth waking a thread. */
#define SHARED_MIN 64

/* What is listed with its value gives attributes to the kernel: it is looked at again if that was so long ago, in milliseconds. */
#define VALUE_FRESH_MS 20

void batch_init(struct batch *b, struct file_backend *f)
{
	b->backend = f;
	b->count = b->at = 0;
	b->is_shared = false;
	event_init(&b->returned, false);
}

/* True: no thread has begun it, and none will. */
static bool withdraw(struct batch *b)
{
	b->is_shared = b->is_shared && !work_withdraw(b->backend->ahead, &b->work);
	return !b->is_shared;
}

void batch_forget(struct batch *b)
{
	if (!withdraw(b)) {
		atomic_store(&b->next, b->count);
		event_take(&b->returned, NULL);
		b->is_shared = false;
	}
	for (unsigned i = b->at; i < b->count; i++)
		candidate_done(&b->candidates[i]);
}

void batch_done(struct batch *b)
{
	batch_forget(b);
	event_done(&b->returned);
}

void batch_begin(struct batch *b, int directory, bool value)
{
	batch_forget(b);
	b->count = b->at = 0;
	b->directory = directory;
	b->value = value;
	b->next = 0;
}

bool batch_is_full(const struct batch *b)
{
	return b->count == (b->value ? BATCH_VALUES_MAX : BATCH_MAX);
}

void batch_add(struct batch *b, const char *name, uint64_t inode)
{
	struct candidate *candidate = &b->candidates[b->count];
	struct key_hash hash;
	if (!key_hash_from_hex(name, strlen(name), &hash))
		return;
	key_from_hash(&hash, &candidate->key);
	candidate->named = false;
	memcpy(candidate->name, name, sizeof candidate->name);
	candidate->inode = inode;
	candidate->r = UNSEEN;
	b->count++;
}

static void look_at(const struct batch *b, struct candidate *candidate, bool value)
{
	if (!value) {
		candidate->r = file_look(b->backend, b->directory, candidate->name, candidate->inode, &candidate->key, &candidate->named, &candidate->stored);
		return;
	}
	cleanup_close int fd = file_open_entry(b->backend, b->directory, candidate->name);
	candidate->r = fd < 0 ? fd : file_read_entry(b->backend, &fd, true, file_key_look(b->backend, fd, &candidate->key), &candidate->stored);
}

/* Looks at names that nobody has taken yet. */
static void look_at_rest(struct batch *b, const atomic_bool *cancel)
{
	unsigned i;
	while (!was_cancelled(cancel) && (i = atomic_fetch_add(&b->next, 1)) < b->count)
		look_at(b, &b->candidates[i], b->value);
}

static void look_ahead(struct work *work)
{
	struct batch *b = container_of(work, struct batch, work);
	look_at_rest(b, NULL);
	event_tell(&b->returned);
}

void batch_share(struct batch *b)
{
	if (b->count < SHARED_MIN)
		return;
	b->since = clock_ms();
	b->is_shared = true;
	b->work.run = look_ahead;
	work_submit(b->backend->ahead, &b->work);
}

int batch_take_back(struct batch *b, const atomic_bool *cancel)
{
	/* Those who look ahead may all be busy for other listings. What they have not begun is looked at when it is shown. */
	if (withdraw(b))
		return 0;
	look_at_rest(b, cancel);
	int r = event_take(&b->returned, cancel);
	if (r < 0)
		return r;
	b->is_shared = false;
	return 0;
}

bool batch_is_spent(const struct batch *b)
{
	return b->at == b->count;
}

struct candidate *batch_next(struct batch *b)
{
	return batch_is_spent(b) ? NULL : &b->candidates[b->at++];
}

void batch_put_back(struct batch *b)
{
	candidate_done(&b->candidates[--b->at]);
}

/* Whether what was learnt ahead can be shown. What failed ahead may work now. */
static bool is_as_wanted(const struct batch *b, const struct candidate *candidate, bool value)
{
	if (candidate->r != 0)
		return candidate_is_hidden(candidate);
	return !value || (b->value && clock_ms() - b->since < VALUE_FRESH_MS);
}

void candidate_look(const struct batch *b, struct candidate *candidate, bool value)
{
	if (!is_as_wanted(b, candidate, value)) {
		candidate_done(candidate);
		look_at(b, candidate, value);
	} else if (candidate->r == 0 && !value) {
		slice_done(&candidate->stored.value);
	}
}

void candidate_done(struct candidate *candidate)
{
	if (candidate->r == 0)
		stored_done(&candidate->stored);
	/* Its hash stays. */
	const struct key_hash hash = candidate->key.hash;
	key_done(&candidate->key);
	key_from_hash(&hash, &candidate->key);
	candidate->r = UNSEEN;
}

bool candidate_is_hidden(const struct candidate *candidate)
{
	return candidate->r == -ENOENT;
}

bool candidate_is_unread(const struct candidate *candidate)
{
	return candidate->r < 0 && candidate->r != -ENOMEM && candidate->r != -EMFILE && candidate->r != -ENFILE;
}
