#include "ckfs/pieces.h"

#include "ckfs/cleanup.h"
#include "ckfs/event.h"
#include "ckfs/thread.h"

#include <errno.h>

#define PIECE ((uint64_t)256 << 10)

/* What is smaller is read before a second thread has begun. */
#define FOR_TWO_MIN ((uint64_t)8 << 20)

struct reading {
	const struct slice *slice;
	const atomic_bool *cancel;
	piece_fn *take;
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t taken_more;
	/* protected by lock */
	uint64_t begun; /* up to here somebody reads, or has read */
	uint64_t taken; /* up to here take() was given it */
	int outcome;    /* nonzero: of the whole */
};

static size_t length_of_piece(const struct slice *slice, uint64_t at)
{
	return slice->length - at < PIECE ? (size_t)(slice->length - at) : PIECE;
}

/* Reads one piece without the lock, and gives it to take() when it is its turn. */
static void read_piece(struct reading *r, uint8_t *buffer)
{
	const uint64_t at = r->begun;
	const size_t n = length_of_piece(r->slice, at);
	r->begun += n;
	pthread_mutex_unlock(&r->lock);
	const int got = was_cancelled(r->cancel) ? -EINTR : slice_read(r->slice, at, buffer, n);
	pthread_mutex_lock(&r->lock);
	while (r->taken < at && r->outcome == 0)
		pthread_cond_wait(&r->taken_more, &r->lock);
	if (r->outcome == 0)
		r->outcome = got < 0 ? got : r->take(r->arg, buffer, n);
	r->taken = at + n;
	pthread_cond_signal(&r->taken_more);
}

static void read_pieces(struct reading *r, uint8_t *buffer)
{
	LOCK(&r->lock);
	while (r->outcome == 0 && r->begun < r->slice->length)
		read_piece(r, buffer);
}

/* Without memory it leaves all to the first one. */
static void *second_reader(void *arg)
{
	cleanup_free uint8_t *buffer = malloc(PIECE);
	if (buffer)
		read_pieces(arg, buffer);
	return NULL;
}

static int take_from_memory(const struct reading *r, const uint8_t *memory)
{
	int outcome = 0;
	for (uint64_t at = r->begun; outcome == 0 && at < r->slice->length; at += PIECE)
		outcome = was_cancelled(r->cancel) ? -EINTR : r->take(r->arg, memory + at, length_of_piece(r->slice, at));
	return outcome;
}

int pieces_read(const struct slice *slice, uint64_t from, const atomic_bool *cancel, piece_fn *take, void *arg)
{
	struct reading r = {.slice = slice, .cancel = cancel, .take = take, .arg = arg, .begun = from, .taken = from};
	const uint8_t *memory = slice_memory(slice);
	pthread_t second;
	if (memory)
		return take_from_memory(&r, memory);
	cleanup_free uint8_t *buffer = malloc(length_of_piece(slice, from) + 1);
	if (!buffer)
		return -ENOMEM;
	pthread_mutex_init(&r.lock, NULL);
	pthread_cond_init(&r.taken_more, NULL);
	const bool for_two = slice->length - from >= FOR_TWO_MIN && thread_cpus() > 1 && thread_start(&second, second_reader, &r) == 0;
	read_pieces(&r, buffer);
	if (for_two)
		pthread_join(second, NULL);
	pthread_cond_destroy(&r.taken_more);
	pthread_mutex_destroy(&r.lock);
	return r.outcome;
}
