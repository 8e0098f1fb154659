#include "redis_listener.h"

#include "redis_nested.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define CHANNEL "__redis__:invalidate"

/* Between tries, in milliseconds: after a failure, doubled each time, and after a refusal. */
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 1000
#define REFUSED_MS 30000

/* After a fence the thread leaves the connection to those who fence, for so long. */
#define QUIET_MS 200

/* Messages that are read at once before a value is. */
#define CATCH_UP_MAX 4096

/* No server takes a longer key. */
#define KEY_BYTES_MAX (INT64_C(512) << 20)

/* The words that name a message are no longer. */
#define WORD_MAX 64

uint64_t listener_hash(const struct listener *listener, const void *key, size_t n)
{
	return XXH3_64bits_withSeed(key, n, listener->seed);
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

/* Hears of one key. */
static int read_key(struct listener *l, struct redis_connection *c)
{
	char *key = NULL;
	size_t n;
	int r = connection_text(c, KEY_BYTES_MAX, &key, &n);
	if (r == 0 && key)
		changes_note(l->changes, listener_hash(l, key, n));
	free(key);
	return r;
}

/* The keys that changed, or nothing: all of them. */
static int read_keys(struct listener *l, struct redis_connection *c)
{
	struct reply reply = {0};
	int r = connection_head(c, &reply);
	if (r == 0 && reply.kind == REPLY_NIL)
		changes_note_all(l->changes);
	else if (r == 0 && reply.kind != REPLY_ARRAY)
		r = -EIO;
	for (int64_t i = 0; r == 0 && reply.kind == REPLY_ARRAY && i < reply.number; i++)
		r = read_key(l, c);
	return r;
}

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

static void answer_fence(struct listener *l)
{
	pthread_mutex_lock(&l->lock);
	l->answered++;
	if (l->wanted > l->sent)
		send_ping(l);
	pthread_cond_broadcast(&l->moved);
	pthread_mutex_unlock(&l->lock);
}

/*
 * One message. By RESP3: [invalidate, keys], and the plain answer to a PING. By RESP2, where it comes as of a channel: [message, channel,
 * keys], and [pong, ""].
 */
static int read_message(struct listener *l, struct redis_connection *c)
{
	struct reply head = {0};
	char *word = NULL;
	size_t n;
	int r = connection_head(c, &head);
	if (r == 0 && head.kind == REPLY_STATUS) {
		answer_fence(l);
		return 0;
	}
	if (r == 0 && ((head.kind != REPLY_ARRAY && head.kind != REPLY_PUSH) || head.number < 2 || head.number > 4))
		r = -EIO;
	if (r == 0)
		r = connection_text(c, WORD_MAX, &word, &n);
	if (r == 0 && !word)
		r = -EIO;
	if (r == 0 && strcmp(word, "invalidate") == 0 && head.number == 2) {
		r = read_keys(l, c);
	} else if (r == 0 && strcmp(word, "message") == 0 && head.number == 3) {
		r = nested_skip_rest(c, 1);
		if (r == 0)
			r = read_keys(l, c);
	} else if (r == 0) {
		r = nested_skip_rest(c, head.number - 1);
		if (r == 0 && strcmp(word, "pong") == 0)
			answer_fence(l);
	}
	free(word);
	return r;
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

/* Subscribes to the channel that stands in for pushes in RESP2. */
static int subscribe(struct redis_connection *c)
{
	int64_t count;
	connection_put_text(c, "SUBSCRIBE", CHANNEL, NULL);
	int r = connection_send(c);
	if (r == 0)
		r = connection_array(c, &count);
	return r < 0 ? r : nested_skip_rest(c, count);
}

/* A connection that announcements can be redirected to: by RESP3, for which nobody needs the right to subscribe, else by RESP2. */
static int open_one(struct listener *l, struct redis_connection **ret, int64_t *ret_client)
{
	struct redis_connection *c;
	struct error ignored;
	struct reply hello = {0};
	int64_t client = 0;
	int r = connection_open(l->target, l->timeout_ms, &c, &ignored);
	if (r < 0)
		return r;
	connection_put_text(c, "HELLO", "3", NULL);
	connection_put_text(c, "CLIENT", "ID", NULL);
	r = connection_send(c);
	if (r == 0)
		r = connection_head(c, &hello);
	if (r == 0 && hello.kind == REPLY_ARRAY)
		r = nested_skip_rest(c, hello.number);
	if (r == 0)
		r = connection_integer(c, &client);
	if (r == 0 && hello.kind != REPLY_ARRAY)
		r = subscribe(c);
	if (r < 0) {
		connection_close(c);
		return r;
	}
	*ret = c;
	*ret_client = client;
	return 0;
}

/* One round, from its beginning to its end. The connection is free then. */
static void serve_round(struct listener *l, struct redis_connection *c, int64_t client)
{
	uint64_t round = changes_unique(l->changes);
	pthread_mutex_lock(&l->lock);
	l->round = l->stopping ? 0 : round;
	l->client = client;
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
	pthread_mutex_unlock(&l->lock);
	/* Before the next round begins. */
	changes_note_all(l->changes);
}

static void *run(void *arg)
{
	struct listener *l = arg;
	int64_t pause = 0;
	bool stopping = false;
	while (!stopping) {
		struct redis_connection *c;
		int64_t client;
		int r = open_one(l, &c, &client);
		if (r == 0) {
			serve_round(l, c, client);
			connection_close(c);
			pause = 0;
		} else if (r == -EACCES || r == -ENOSYS) {
			pause = REFUSED_MS;
		} else {
			pause = pause * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : pause ? pause * 2 : RETRY_MIN_MS;
		}
		pthread_mutex_lock(&l->lock);
		l->tried = true;
		pthread_cond_broadcast(&l->moved);
		int64_t end = clock_ms() + pause;
		while (!l->stopping && clock_ms() < end)
			wait_until(l, &l->resumed, end);
		stopping = l->stopping;
		l->ended = stopping;
		pthread_mutex_unlock(&l->lock);
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

uint64_t listener_round(struct listener *listener, int64_t *ret_client)
{
	pthread_mutex_lock(&listener->lock);
	if (!listener->started && !listener->stopping) {
		int64_t end = clock_ms() + listener->timeout_ms;
		start(listener);
		while (listener->started && !listener->tried && wait_until(listener, &listener->moved, end))
			;
	}
	uint64_t round = listener->round;
	*ret_client = listener->client;
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
