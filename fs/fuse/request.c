#include "request.h"

#include "mount.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"
#include "ckfs/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* A key's bytes in one line of the log. */
#define LOGGED_KEY_MAX 240

/* See request.h. */
enum { NEW, ASKING, HEARING, PEELING, ANSWERING, EARLY, INTERRUPTED };

/* --- the list of those that ask --- */

static void list_add(struct request *request)
{
	struct requests *requests = &request->m->requests;
	LOCK(&requests->lock);
	request->before = NULL;
	request->after = requests->first;
	if (requests->first)
		requests->first->before = request;
	requests->first = request;
	if (requests->stopped)
		request->cancelled = true;
}

static void list_remove(struct request *request)
{
	struct requests *requests = &request->m->requests;
	LOCK(&requests->lock);
	*(request->before ? &request->before->after : &requests->first) = request->after;
	if (request->after)
		request->after->before = request->before;
}

void requests_stop(struct mount *m)
{
	LOCK(&m->requests.lock);
	m->requests.stopped = true;
	for (struct request *request = m->requests.first; request; request = request->after)
		request->cancelled = true;
}

/* --- the end --- */

static bool moves(struct request *request, int from, int to)
{
	return atomic_compare_exchange_strong(&request->state, &from, to);
}

static void end(struct request *request)
{
	if (request->kind->end)
		request->kind->end(request);
	entry_unref(request->entry);
	/* One that never waited lies on its caller's stack. */
	if (request->state != NEW)
		free(request);
}

/* One of the two that an interrupted request has leaves it. */
static void leave(struct request *request)
{
	if (atomic_exchange(&request->one_has_left, true))
		end(request);
}

/* Answers, unless an interrupt has. */
static void finish(struct request *request, int r)
{
	int state = request->state;
	if (state == INTERRUPTED || (state != NEW && !moves(request, state, ANSWERING))) {
		leave(request);
		return;
	}
	/* Waits for an interrupt that is being handled: none comes after this. */
	if (state != NEW)
		request->m->reply->on_interrupt(request->req, NULL, NULL);
	request->kind->answer(request, r);
	if (state != NEW)
		latency_count(request->m, &request->latency);
	end(request);
}

/* --- waiting --- */

static void on_peeled(struct entry_wait *wait, int r);
static void on_asking_thread(struct work *work);

static void on_interrupt(fuse_req_t req, void *data)
{
	struct request *request = data;
	/* libfuse may call this while it is told of it, and goes on to use `req`: it cannot be answered here. */
	if (moves(request, NEW, EARLY))
		return;
	/* Before it is answered: what was answered with EINTR must not be begun afterwards. */
	request->cancelled = true;
	bool asks = moves(request, ASKING, INTERRUPTED);
	bool waits = !asks && moves(request, PEELING, INTERRUPTED);
	if (!asks && !waits)
		return;
	request->m->reply->err(req, EINTR);
	if (waits && entry_peel_cancel(request->entry, &request->wait))
		end(request); /* nobody else comes back to it */
	else
		leave(request);
}

/* Copies a request to where it can wait, and hears of interrupts. NULL: it was answered. */
static struct request *begin_to_wait(struct request *request, int state)
{
	const struct reply_ops *reply = request->m->reply;
	struct request *own = malloc(request->kind->size);
	if (!own) {
		reply_error(request->m, request->req, -ENOMEM);
		end(request);
		return NULL;
	}
	memcpy(own, request, request->kind->size);
	own->latency = latency_take();
	own->wait.done = on_peeled;
	own->work.run = on_asking_thread;
	reply->on_interrupt(own->req, on_interrupt, own);
	if (moves(own, NEW, state))
		return own;
	reply->on_interrupt(own->req, NULL, NULL);
	reply->err(own->req, EINTR);
	end(own);
	return NULL;
}

/* --- peeling --- */

static void peel(struct request *request, enum level level);

/* The entry was peeled to its level, or not for the reason r. */
static void peeled(struct request *request, int r)
{
	int next = r;
	enum level less;
	if (view_does_with_less(views[request->view_id], request->level, r, &less))
		next = (int)less;
	else if (request->kind->judge)
		next = request->kind->judge(request, r);
	if (next > 0)
		peel(request, (enum level)next);
	else
		finish(request, next);
}

static void on_peeled(struct entry_wait *wait, int r)
{
	peeled(container_of(wait, struct request, wait), r);
}

static void peel(struct request *request, enum level level)
{
	request->level = level;
	if (entry_reached(request->entry, level)) {
		peeled(request, 0);
		return;
	}
	int state = request->state;
	if (state == NEW) {
		request = begin_to_wait(request, PEELING);
		if (!request)
			return;
	} else if (state == INTERRUPTED || (state == ASKING && !moves(request, ASKING, PEELING))) {
		leave(request);
		return;
	}
	/* An interrupt may end the request as soon as it waits. */
	struct entry *entry = entry_ref(request->entry);
	entry_peel(entry, level, &request->wait);
	entry_unref(entry);
}

/* --- asking --- */

static void asked(struct request *request, int r)
{
	if (r == 0 && request->entry)
		peel(request, request->level);
	else
		finish(request, r);
}

static void ask(struct request *request)
{
	if (request->hears)
		moves(request, ASKING, HEARING);
	/* One that had to wait for a thread may have been in vain by then. */
	int r = request->cancelled ? -EINTR : request->kind->ask(request);
	list_remove(request);
	asked(request, r);
}

static void on_asking_thread(struct work *work)
{
	ask(container_of(work, struct request, work));
}

/*
 * Handing over to another thread costs as much as asking a server nearby. So the request's thread waits itself, as long as there
 * is another one that takes requests, and interrupts.
 */
static bool ask_here(struct request *request)
{
	struct mount *m = request->m;
	bool may = atomic_fetch_add(&m->waiting, 1) + 1 < m->options->max_threads;
	if (may)
		ask(request);
	atomic_fetch_sub(&m->waiting, 1);
	return may;
}

void request_start(struct request *request)
{
	struct work_pool *pool = request->pool ? request->pool : request->m->waiters;
	if (request->entry || !pool) {
		asked(request, request->entry ? 0 : request->kind->ask(request));
		return;
	}
	request = begin_to_wait(request, ASKING);
	if (!request)
		return;
	list_add(request);
	if (request->pool || !ask_here(request))
		work_submit(pool, &request->work);
}

/* --- failing --- */

/* What is wrong with the entry is worth a line; that there is none, or that the caller went away, is not. What ckfs lacks has its own. */
static bool is_logged(int r)
{
	switch (-r) {
	case EUCLEAN:
	case EBADMSG:
	case EFBIG:
	case EOPNOTSUPP:
	case ENOKEY:
	case EIO:
		return true;
	default:
		return false;
	}
}

static void log_fault(const struct request *request, int r, const char *reason)
{
	const struct key *key = entry_key(request->entry);
	const char *view = views[request->view_id]->name;
	struct buf line = {0};
	char hex[KEY_HEX_SIZE + 1];
	key_hash_to_hex(&key->hash, hex);
	buf_escaped(&line, key->text ? key->text : hex, key->text ? key->length : KEY_HEX_SIZE, LOGGED_KEY_MAX);
	buf_put(&line, "", 1);
	if (!line.failed)
		log_line(LOG_WARNING, "%s%s%s: %s (%s)", view, *view ? "/" : "", line.p, reason ? reason : strerror(-r), strerrorname_np(-r));
	buf_done(&line);
}

void look_up_again(struct mount *m, fuse_req_t req, uint64_t inode, const struct key_hash *key)
{
	if (inode)
		retry_tell(&m->retries, m->reply->thread(req), inode);
	if (key)
		retry_note(&m->retries, key);
	else
		retry_note_writer(&m->retries);
	stats_add(&m->stats, stale_opens, 1);
	m->reply->err(req, ESTALE);
}

void request_fail(struct request *request, int r, const char *reason)
{
	struct mount *m = request->m;
	/* Its value has changed between its head and its rest: what is looked up next is found whole. */
	if (r == -ESTALE && request->entry) {
		look_up_again(m, request->req, 0, &entry_key(request->entry)->hash);
		return;
	}
	if (request->entry && is_logged(r) && entry_first_error(request->entry, r))
		log_fault(request, r, reason);
	reply_error(m, request->req, r);
}
