#include "redis_listener.h"

#include "redis_announcements.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <signal.h>

/* Between tries, in milliseconds: after a failure, doubled each time; after a refusal; after a doubt, for each new round costs all connections. */
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 1000
#define REFUSED_MS 30000
#define DOUBTED_MS 300000

/* After a fence the thread leaves the connection to those who fence, for so long. */
#define QUIET_MS 200

/* Messages that are read at once before a value is. */
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

/* Waits at most until `end` (monotonic ms). False: it is past. listener->lock is held. */
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
	ssize_t n = transport_send(&l->connection->transport, ping, sizeof ping - 1, &ignored);
	/* A socket that takes no 14 bytes serves nobody any more: who reads will see its end. */
	if (n != (ssize_t)sizeof ping - 1)
		transport_shut_down(&l->connection->transport);
	l->sent++;
}

/* 0; -EIO nobody has asked, and whoever asks next must not take this for his answer. */
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

/* Nothing counts any more that was known by this round. listener->lock is held. */
static void end_round(struct listener *l)
{
	if (l->connection)
		transport_shut_down(&l->connection->transport);
	l->round = 0;
	pthread_cond_broadcast(&l->moved);
	pthread_cond_signal(&l->resumed);
}

static int read_arrived(struct listener *l, struct redis_connection *c)
{
	int r = 0;
	for (int n = 0; r == 0 && n < CATCH_UP_MAX && connection_has_arrived(c); n++)
		r = read_message(l, c);
	return r;
}

/*
 * Reads, in the caller's turn: nobody else is reading. `read`: read_message or read_arrived. What does not come within `wait_ms`
 * (-1: for ever) ends the round, as every error does. listener->lock is held, but not meanwhile. 0, -errno.
 */
static int take_turn(struct listener *l, int (*read)(struct listener *l, struct redis_connection *c), int wait_ms)
{
	struct redis_connection *c = l->connection;
	uint64_t round = l->round;
	l->reading = true;
	pthread_mutex_unlock(&l->lock);
	c->timeout_ms = wait_ms;
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

/* One round, from its beginning to its end. The connection is free then. *ret_doubted: why it ended. */
static void serve_round(struct listener *l, struct redis_connection *c, const struct client_identity *identity, bool *ret_doubted)
{
	uint64_t round = changes_unique(l->changes);
	pthread_mutex_lock(&l->lock);
	l->round = l->stopping ? 0 : round;
	l->identity = *identity;
	l->doubted = false;
	l->connection = c;
	l->wanted = l->sent = l->answered = 0;
	l->fenced_at = clock_ms() - QUIET_MS;
	l->tried = true;
	pthread_cond_broadcast(&l->moved);
	while (l->round == round || l->reading) {
		int64_t now = clock_ms(), quiet_at = (l->reading ? now : l->fenced_at) + QUIET_MS;
		if (now < quiet_at)
			wait_until(l, &l->resumed, quiet_at);
		else
			/* It waits for news as long as none comes. A server that went away silently is told by a fence. */
			take_turn(l, read_message, -1);
	}
	l->connection = NULL;
	*ret_doubted = l->doubted;
	pthread_mutex_unlock(&l->lock);
	/* Before the next round begins. */
	changes_note_all(l->changes);
}

/* Waits for so long, or until another password than the one that was refused is there. Whether it is to stop. */
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

/* Signals are for others. listener->lock is held. */
static void start(struct listener *l)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	l->started = pthread_create(&l->thread, NULL, run, l) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

uint64_t listener_round(struct listener *listener, struct client_identity *ret_identity)
{
	pthread_mutex_lock(&listener->lock);
	if (!listener->started && !listener->stopping) {
		int64_t end = clock_ms() + listener->timeout_ms;
		start(listener);
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
	/* One that is under way may have been answered before what the caller has in mind. */
	uint64_t ticket = l->sent + 1;
	if (l->round == round) {
		l->fenced_at = clock_ms();
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
	/* A connection that is closed is no longer known by any server, which would look the same. */
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
