#include "file_batch.h"

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
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->returned, NULL);
}

void batch_forget(struct batch *b)
{
	batch_take_back(b);
	for (unsigned i = b->at; i < b->count; i++)
		step_done(&b->steps[i]);
}

void batch_done(struct batch *b)
{
	batch_forget(b);
	pthread_cond_destroy(&b->returned);
	pthread_mutex_destroy(&b->lock);
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
	struct step *step = &b->steps[b->count];
	if (!key_hash_from_hex(name, strlen(name), &step->hash))
		return;
	memcpy(step->name, name, sizeof step->name);
	step->inode = inode;
	step->r = UNSEEN;
	b->count++;
}

static void look_at(const struct batch *b, struct step *step, bool value)
{
	if (!value) {
		step->r = file_look(b->backend, b->directory, step->name, step->inode, &step->stored);
		return;
	}
	int fd = file_open_entry(b->backend, b->directory, step->name);
	step->r = fd < 0 ? fd : file_read_entry(b->backend, fd, true, &step->stored);
}

/* Looks at names that nobody has taken yet. */
static void look_at_rest(struct batch *b)
{
	unsigned i;
	while ((i = atomic_fetch_add(&b->next, 1)) < b->count)
		look_at(b, &b->steps[i], b->value);
}

static void look_ahead(struct work *work)
{
	struct batch *b = container_of(work, struct batch, work);
	look_at_rest(b);
	pthread_mutex_lock(&b->lock);
	b->is_shared = false;
	pthread_cond_signal(&b->returned);
	pthread_mutex_unlock(&b->lock);
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

void batch_take_back(struct batch *b)
{
	pthread_mutex_lock(&b->lock);
	bool is_shared = b->is_shared;
	pthread_mutex_unlock(&b->lock);
	if (!is_shared)
		return;
	look_at_rest(b);
	pthread_mutex_lock(&b->lock);
	while (b->is_shared)
		pthread_cond_wait(&b->returned, &b->lock);
	pthread_mutex_unlock(&b->lock);
}

bool batch_is_spent(const struct batch *b)
{
	return b->at == b->count;
}

struct step *batch_next(struct batch *b)
{
	return batch_is_spent(b) ? NULL : &b->steps[b->at++];
}

void batch_put_back(struct batch *b)
{
	step_done(&b->steps[--b->at]);
}

/* Whether what was learnt ahead can be shown. What failed ahead may work now. */
static bool is_as_wanted(const struct batch *b, const struct step *step, bool value)
{
	if (step->r != 0)
		return step_is_hidden(step);
	return !value || (b->value && clock_ms() - b->since < VALUE_FRESH_MS);
}

void step_look(const struct batch *b, struct step *step, bool value)
{
	if (!is_as_wanted(b, step, value)) {
		step_done(step);
		look_at(b, step, value);
	} else if (step->r == 0 && !value) {
		slice_done(&step->stored.value);
	}
}

void step_done(struct step *step)
{
	if (step->r == 0)
		stored_done(&step->stored);
	step->r = UNSEEN;
}

bool step_is_hidden(const struct step *step)
{
	return step->r == -ENOENT;
}

bool step_is_unread(const struct step *step)
{
	return step->r < 0 && step->r != -ENOMEM && step->r != -EMFILE && step->r != -ENFILE;
}
