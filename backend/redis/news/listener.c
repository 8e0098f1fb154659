#include "listener.h"

#include "announcements.h"

#include "ckfs/clock.h"
#include "ckfs/thread.h"

#include <errno.h>

/* Milliseconds between tries: after a failure, doubled each time; after a refusal; after a doubt, since each new round makes all connections anew. */
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 1000
#define REFUSED_MS 30000
#define DOUBTED_MS 300000

/* So long after a fence or a question, those who ask read the connection themselves, not the thread: it would be woken by each of our own changes. */
#define QUIET_MS 200

/* At most so many messages are read before a value is. */
#define CATCH_UP_MAX 4096

uint64_t listener_hash(const struct listener *listener, const void *key, size_t n)
{
	return announced_hash(listener->seed, key, n);
}

void listener_init(struct listener *listener, const struct redis_target *target, int timeout_ms, uint64_t seed, struct changes *changes)
{
	*listener = (struct listener){.target = target, .timeout_ms = timeout_ms, .seed = seed, .changes = changes};
	pthread_condattr_t attr;
	pthread_mutex_init(&listener->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&listener->moved, &attr);
	pthread_cond_init(&listener->resumed, &attr);
	pthread_condattr_destroy(&attr);
}

static struct timespec from_ms(int64_t ms)
{
	return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

/* Waits at most until `end` (monotonic ms). False: that time is over. listener->lock is held. */
static bool wait_until(struct listener *l, pthread_cond_t *cond, int64_t end)
{
	const struct timespec at = from_ms(end);
	return pthread_cond_timedwait(cond, &l->lock, &at) != ETIMEDOUT;
}

/* --- reading --- */

/* listener->lock is held. */
static void send_ping(struct listener *l)
{
	static const char ping[] = "*1\r\n$4\r\nPING\r\n";
	short ignored;
	ssize_t n = transport_send(&l->connection->stream.transport, ping, sizeof ping - 1, &ignored);
	/* If a socket does not take 14 bytes, it is dead. The reader will see that. */
	if (n != (ssize_t)sizeof ping - 1)
		transport_shut_down(&l->connection->stream.transport);
	l->sent++;
}

/* 0; -EIO nobody has asked: the next one who asks must not take this for its answer. */
static int answer_fence(struct listener *l)
{
	pthread_mutex_lock(&l->lock);
	int r = l->answered < l->sent ? 0 : -EIO;
	l->answered += r == 0;
	if (r == 0 && l->wanted > l->sent)
		send_ping(l);
	pthread_cond_broadcast(&l->moved);
	pthread_mutex_unlock(&l->lock);
	return r;
}

static int read_message(struct listener *l, struct redis_connection *c)
{
	bool pong;
	int r = announcements_read(c, l->seed, l->changes, &pong);
	return r == 0 && pong ? answer_fence(l) : r;
}

/* Ends the round: what was known by it does not count any more. listener->lock is held. */
static void end_round(struct listener *l)
{
	if (l->connection)
		transport_shut_down(&l->connection->stream.transport);
	l->round = 0;
	pthread_cond_broadcast(&l->moved);
	pthread_cond_signal(&l->resumed);
}

static int read_arrived(struct listener *l, struct redis_connection *c)
{
	int r = 0;
	for (int n = 0; r == 0 && n < CATCH_UP_MAX && stream_has_arrived(&c->stream); n++)
		r = read_message(l, c);
	return r;
}

/*
 * Reads, while nobody else does. `read`: read_message or read_arrived. If nothing comes within `wait_ms` (-1: for ever), the round ends, as after
 * every error. listener->lock is held, but released meanwhile. 0, -errno.
 */
static int take_turn(struct listener *l, int (*read)(struct listener *l, struct redis_connection *c), int wait_ms)
{
	struct redis_connection *c = l->connection;
	uint64_t round = l->round;
	l->reading = true;
	pthread_mutex_unlock(&l->lock);
	c->stream.timeout_ms = wait_ms;
	int r = read(l, c);
	pthread_mutex_lock(&l->lock);
	l->reading = false;
	if (r < 0 || l->round != round)
		end_round(l);
	else if (l->wanted > l->answered)
		/* Somebody else goes on. */
		pthread_cond_broadcast(&l->moved);
	return r;
}

/* --- what the thread does --- */

/* One round, from its beginning to its end. It frees the connection. *ret_doubted: it ended since there is more than one server. */
static void serve_round(struct listener *l, struct redis_connection *c, const struct client_identity *identity, bool *ret_doubted)
{
	uint64_t round = changes_unique(l->changes);
	pthread_mutex_lock(&l->lock);
	l->round = l->stopping ? 0 : round;
	l->identity = *identity;
	l->doubted = false;
	l->connection = c;
	l->wanted = l->sent = l->answered = 0;
	l->asked_at = clock_ms() - QUIET_MS;
	l->tried = true;
	pthread_cond_broadcast(&l->moved);
	while (l->round == round || l->reading) {
		int64_t now = clock_ms(), quiet_at = (l->reading ? now : l->asked_at) + QUIET_MS;
		if (now < quiet_at)
			wait_until(l, &l->resumed, quiet_at);
		else
			/* Wait for news without a limit. A fence notices a server that has gone silently. */
			take_turn(l, read_message, -1);
	}
	l->connection = NULL;
	*ret_doubted = l->doubted;
	pthread_mutex_unlock(&l->lock);
	/* Before the next round begins. */
	changes_note_all(l->changes);
}

/* Waits for so long, or until the password file holds another password than the refused one. True: the thread has to stop. */
static bool rest(struct listener *l, int64_t pause, unsigned password)
{
	struct error ignored;
	bool stopping;
	const int64_t end = clock_ms() + pause;
	do {
		pthread_mutex_lock(&l->lock);
		int64_t next = clock_ms() + RETRY_MAX_MS, look = next < end ? next : end;
		while (!l->stopping && clock_ms() < look)
			wait_until(l, &l->resumed, look);
		stopping = l->stopping;
		l->ended = stopping;
		pthread_mutex_unlock(&l->lock);
	} while (!stopping && clock_ms() < end && password_file_renew(l->target->password_file, password, &ignored) <= 0);
	return stopping;
}

static void *run(void *arg)
{
	struct listener *l = arg;
	int64_t pause = 0;
	bool stopping = false, doubted;
	while (!stopping) {
		struct redis_connection *c;
		struct client_identity identity;
		unsigned password = password_file_number(l->target->password_file);
		int r = announcements_open(l->target, l->timeout_ms, &c, &identity);
		if (r == 0) {
			serve_round(l, c, &identity, &doubted);
			connection_close(c);
			pause = doubted ? DOUBTED_MS : 0;
		} else if (r == -EACCES || r == -ENOSYS) {
			pause = REFUSED_MS;
		} else {
			pause = pause * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : pause ? pause * 2 : RETRY_MIN_MS;
		}
		pthread_mutex_lock(&l->lock);
		l->tried = true;
		pthread_cond_broadcast(&l->moved);
		pthread_mutex_unlock(&l->lock);
		stopping = rest(l, pause, password);
	}
	return NULL;
}

/* --- what others ask --- */

uint64_t listener_round(struct listener *listener, struct client_identity *ret_identity)
{
	pthread_mutex_lock(&listener->lock);
	if (!listener->started && !listener->stopping) {
		int64_t end = clock_ms() + listener->timeout_ms;
		listener->started = thread_start(&listener->thread, run, listener) == 0;
		while (listener->started && !listener->tried && wait_until(listener, &listener->moved, end))
			;
	}
	uint64_t round = listener->round;
	if (ret_identity)
		*ret_identity = listener->identity;
	pthread_mutex_unlock(&listener->lock);
	return round;
}

void listener_catch_up(struct listener *listener)
{
	pthread_mutex_lock(&listener->lock);
	listener->asked_at = clock_ms();
	if (listener->round != 0 && !listener->reading)
		take_turn(listener, read_arrived, listener->timeout_ms);
	pthread_mutex_unlock(&listener->lock);
}

bool listener_is_in(struct listener *listener, uint64_t round)
{
	pthread_mutex_lock(&listener->lock);
	bool is = listener->round == round;
	pthread_mutex_unlock(&listener->lock);
	return is;
}

uint64_t listener_fence_begin(struct listener *listener, uint64_t round)
{
	struct listener *l = listener;
	pthread_mutex_lock(&l->lock);
	/* A fence that is under way does not count: its answer may be older than this call. */
	uint64_t ticket = l->sent + 1;
	if (l->round == round) {
		l->asked_at = clock_ms();
		if (l->wanted < ticket)
			l->wanted = ticket;
		if (l->sent == l->answered)
			send_ping(l);
	}
	pthread_mutex_unlock(&l->lock);
	return ticket;
}

int listener_fence_end(struct listener *listener, uint64_t round, uint64_t ticket)
{
	struct listener *l = listener;
	int64_t end = clock_ms() + l->timeout_ms;
	int r = 0;
	pthread_mutex_lock(&l->lock);
	while (r == 0 && l->round == round && l->answered < ticket) {
		int64_t left = end - clock_ms();
		if (left <= 0)
			r = -ETIMEDOUT;
		else if (l->reading)
			wait_until(l, &l->moved, end);
		else if (take_turn(l, read_message, (int)left) == -ETIMEDOUT)
			r = -ETIMEDOUT;
	}
	if (l->round == round && r < 0)
		end_round(l);
	else if (l->round != round && r == 0)
		r = -ESTALE;
	pthread_mutex_unlock(&l->lock);
	return r;
}

int listener_fence(struct listener *listener, uint64_t round)
{
	return listener_fence_end(listener, round, listener_fence_begin(listener, round));
}

void listener_end(struct listener *listener, uint64_t round)
{
	pthread_mutex_lock(&listener->lock);
	if (listener->round == round)
		end_round(listener);
	pthread_mutex_unlock(&listener->lock);
}

bool listener_doubt(struct listener *listener, uint64_t round)
{
	/* If our connection is closed, no server knows it, which looks the same. */
	if (listener_fence(listener, round) < 0)
		return false;
	pthread_mutex_lock(&listener->lock);
	bool is_on = listener->round == round;
	if (is_on) {
		listener->doubted = true;
		end_round(listener);
	}
	pthread_mutex_unlock(&listener->lock);
	return is_on;
}

void listener_stop(struct listener *listener)
{
	pthread_mutex_lock(&listener->lock);
	listener->stopping = true;
	end_round(listener);
	pthread_mutex_unlock(&listener->lock);
}

bool listener_has_ended(struct listener *listener)
{
	pthread_mutex_lock(&listener->lock);
	bool ended = listener->ended || !listener->started;
	pthread_mutex_unlock(&listener->lock);
	return ended;
}

void listener_done(struct listener *listener)
{
	listener_stop(listener);
	if (listener->started)
		pthread_join(listener->thread, NULL);
	pthread_cond_destroy(&listener->moved);
	pthread_cond_destroy(&listener->resumed);
	pthread_mutex_destroy(&listener->lock);
}
