#include "draft.h"

#include "mount.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes that are copied at a time. */
#define PIECE ((size_t)1 << 20)

/* No file is longer: what is beyond is no offset. */
#define LENGTH_MAX ((uint64_t)INT64_MAX >> 1)

int draft_new(struct mount *m, const struct key *key, struct draft **ret)
{
	struct draft *d = calloc(1, sizeof *d);
	if (!d || key_copy(key, &d->key) < 0) {
		free(d);
		return -ENOMEM;
	}
	d->m = m;
	d->refs = 1;
	collected_init(m->entries, &d->collected);
	d->lifetime.ttl = m->options->ttl;
	event_init(&d->free, true);
	pthread_mutex_init(&d->lock, NULL);
	clock_gettime(CLOCK_REALTIME, &d->when);
	*ret = d;
	return 0;
}

struct draft *draft_ref(struct draft *draft)
{
	atomic_fetch_add(&draft->refs, 1);
	return draft;
}

void draft_drop(struct draft *draft)
{
	collected_drop(&draft->collected);
	slice_done(&draft->base);
}

void draft_unref(struct draft *draft)
{
	if (!draft || atomic_fetch_sub(&draft->refs, 1) > 1)
		return;
	draft_drop(draft);
	key_done(&draft->key);
	event_done(&draft->free);
	pthread_mutex_destroy(&draft->lock);
	free(draft);
}

bool draft_open(struct draft *draft)
{
	unsigned handles = draft->handles;
	while (handles > 0 && !atomic_compare_exchange_weak(&draft->handles, &handles, handles + 1))
		;
	return handles > 0;
}

bool draft_close(struct draft *draft)
{
	return atomic_fetch_sub(&draft->handles, 1) == 1;
}

int draft_enter(struct draft *draft, const atomic_bool *cancel)
{
	int r = event_take(&draft->free, cancel);
	return r < 0 ? r : 0;
}

bool draft_try_to_enter(struct draft *draft)
{
	return event_try(&draft->free);
}

void draft_leave(struct draft *draft)
{
	event_tell(&draft->free);
}

/* --- what stat shows --- */

void draft_show(struct draft *draft, uint64_t *ret_length, struct timespec *ret_when)
{
	LOCK(&draft->lock);
	*ret_length = draft->shown;
	*ret_when = draft->when;
}

void draft_set_time(struct draft *draft, const struct timespec *when)
{
	LOCK(&draft->lock);
	draft->when = *when;
}

static void set_length(struct draft *d, uint64_t length)
{
	d->length = length;
	LOCK(&d->lock);
	d->shown = length;
	clock_gettime(CLOCK_REALTIME, &d->when);
}

void draft_begin_as(struct draft *draft, const struct slice *value)
{
	slice_copy(value, &draft->base);
	set_length(draft, value->length);
}

/* --- collecting --- */

/* How many bytes there will be, as far as anybody knows. */
static uint64_t size_with(const struct draft *d, uint64_t length)
{
	return length > d->base.length ? length : d->base.length;
}

/* Copies what is of the base, so that all up to `to` is collected. In a file zeros need not be written. */
static int fill_to(struct draft *d, uint64_t to, const atomic_bool *cancel)
{
	cleanup_free uint8_t *piece = NULL;
	int r = 0;
	while (r == 0 && d->collected.filled < to) {
		uint64_t at = d->collected.filled, left = (at < d->base.length && d->base.length < to ? d->base.length : to) - at;
		const bool is_zeros = at >= d->base.length;
		size_t n = left < PIECE ? (size_t)left : PIECE;
		if (is_zeros && collected_is_in_file(&d->collected))
			n = (size_t)left;
		if (!is_zeros && !piece && !(piece = malloc(PIECE)))
			return -ENOMEM;
		r = was_cancelled(cancel) ? -EINTR : is_zeros ? 0 : slice_read(&d->base, at, piece, n);
		if (r == 0)
			r = collected_put(&d->collected, is_zeros ? NULL : piece, n, at, size_with(d, to));
	}
	return r;
}

static bool is_too_long(const struct draft *d, uint64_t length)
{
	const uint64_t most = d->m->backend->value_max;
	return length > LENGTH_MAX || (most && length > most);
}

int draft_tell(const struct draft *draft, int r)
{
	/* What the directory of the cache lacks is not the spool's. */
	return collected_is_in_file(&draft->collected) && r != -ENOMEM ? r : -lack_tell(draft->m, r);
}

/* What was written last has come to this. */
static int end_change(struct draft *d, int r)
{
	d->changed = true;
	d->written = true;
	d->tried = false;
	d->asked = false;
	if (r < 0)
		d->broken = r = draft_tell(d, r);
	return r;
}

bool draft_is_far(const struct draft *draft, uint64_t at)
{
	return at > draft->collected.filled + PIECE;
}

int draft_write(struct draft *draft, const void *bytes, size_t n, uint64_t at, const atomic_bool *cancel)
{
	struct draft *d = draft;
	if (n == 0)
		return 0;
	int r = at > LENGTH_MAX || is_too_long(d, at + n) ? -EFBIG : 0;
	if (r == 0)
		r = fill_to(d, at, cancel);
	if (r == -EINTR) {
		/* What was copied in vain is no part of the value. */
		const int cut = collected_cut(&d->collected, d->length);
		return cut < 0 ? end_change(d, cut) : r;
	}
	if (r == 0)
		r = collected_put(&d->collected, bytes, n, at, size_with(d, at + n));
	if (r == 0)
		set_length(d, at + n > d->length ? at + n : d->length);
	return end_change(d, r);
}

int draft_set_length(struct draft *draft, uint64_t length)
{
	struct draft *d = draft;
	if (is_too_long(d, length))
		return end_change(d, -EFBIG);
	int r = collected_cut(&d->collected, length);
	if (r < 0)
		return end_change(d, r);
	if (length < d->base.length)
		d->base.length = length;
	/* What begins anew can be whole. */
	if (length == 0)
		d->broken = 0;
	set_length(d, length);
	return end_change(d, 0);
}

/* --- reading --- */

int draft_read(struct draft *draft, uint64_t at, void *to, size_t n)
{
	const struct draft *d = draft;
	uint8_t *p = to;
	uint64_t left = d->collected.filled > at ? d->collected.filled - at : 0;
	size_t here = n < left ? (size_t)n : (size_t)left;
	int r = here ? collected_read(&d->collected, at, p, here) : 0;
	at += here;
	n -= here;
	left = d->base.length > at ? d->base.length - at : 0;
	size_t from_base = n < left ? n : (size_t)left;
	if (r == 0 && from_base)
		r = slice_read(&d->base, at, p + here, from_base);
	if (r == 0 && n > from_base)
		memset(p + here + from_base, 0, n - from_base);
	return r;
}

/* --- storing: for draft_store.c --- */

int draft_take(struct draft *d, const atomic_bool *cancel, struct slice *ret)
{
	int r = fill_to(d, d->length, cancel);
	if (r == 0)
		r = collected_value(&d->collected, d->length, ret);
	if (r < 0 || collected_is_in_file(&d->collected))
		return r;
	slice_done(&d->base);
	slice_copy(ret, &d->base);
	return 0;
}

void draft_begin_anew(struct draft *d, struct slice *value)
{
	collected_drop(&d->collected);
	slice_done(&d->base);
	d->base = slice_steal(value);
	/* The expiry that was set is the entry's now. */
	d->lifetime.is_set = false;
	d->lifetime.guess = MOST_LIKELY_THERE;
	d->changed = false;
}
