#include "service.h"

#include "backend/http/rules/retry_after.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/event.h"
#include "ckfs/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

/* How often a wait looks whether it was cancelled. */
#define CANCEL_MS 100

/* A service that wants to be asked again at once is not. */
#define AGAIN_MIN_MS 200

/* Each kind of trouble is logged as often. */
#define TOLD_AGAIN_MS 60000

/* --- the log --- */

static void tell(struct service *s, enum trouble trouble, const char *text)
{
	const int64_t now = clock_ms();
	int64_t before = atomic_load(&s->told[trouble]);
	if (!s->serves)
		return;
	if (before != 0 && now - before < TOLD_AGAIN_MS)
		return;
	if (atomic_compare_exchange_strong(&s->told[trouble], &before, now))
		log_line(LOG_WARNING, "%s", text);
}

/* What has come of a try to reach it. */
static void note_reached(struct service *s, bool reached, const char *text)
{
	if (!s->serves || atomic_exchange(&s->is_lost, !reached) == !reached)
		return;
	if (reached)
		log_line(LOG_NOTICE, "%.200s: the service answers again", s->url.base);
	else
		log_line(LOG_WARNING, "%s", text);
}

static bool is_of_network(int r)
{
	return r == -ECONNREFUSED || r == -EHOSTUNREACH || r == -ETIMEDOUT || r == -EACCES;
}

/* --- one request --- */

static int ask_once(struct service *s, const struct http_question *question, const char *url, const atomic_bool *cancel, unsigned *ret_token, struct answer *answer,
	struct error *error)
{
	char token[PASSWORD_MAX + 1];
	*ret_token = token_get(&s->token, token);
	struct http_request request = {.target = &s->target, .question = question, .url = url, .token = token, .answer = answer, .error = error};
	error_set(error, 0, "%.200s: no connection", s->url.base);
	int r = pool_ask(&s->pool, NULL, http_connection_ask, &request, cancel);
	sodium_memzero(token, sizeof token);
	if (r == 0)
		note_reached(s, true, NULL);
	else if (is_of_network(r))
		note_reached(s, false, error->text);
	else if (r == -EIO || r == -EFBIG)
		tell(s, TROUBLE_BROKEN, error->text);
	return r == -ECONNRESET ? -EIO : r;
}

/* --- what a status means --- */

static int refuse(struct service *s, enum trouble trouble, int r, struct error *error)
{
	tell(s, trouble, error->text);
	return r;
}

/* The same of one that only changes have. 0: it is another one. */
static int judge_change(struct service *s, long status, struct error *error)
{
	const char *base = s->url.base;
	switch (status) {
	case 409:
		return refuse(s, TROUBLE_BUSY, error_set(error, -EAGAIN, "%.200s: the entry is out of date, and about to be replaced (HTTP 409)", base), error);
	case 405:
		return refuse(s, TROUBLE_REFUSED, error_set(error, -EROFS, "%.200s: the service takes no changes (HTTP 405)", base), error);
	case 507:
		return refuse(s, TROUBLE_BROKEN, error_set(error, -ENOSPC, "%.200s: the service is full (HTTP 507)", base), error);
	default:
		return 0;
	}
}

/* Of a status that no further try makes better. */
static int judge(struct service *s, const struct http_question *question, long status, struct error *error)
{
	const char *base = s->url.base;
	if (answer_has_body(status))
		return 0;
	int r = question->method ? judge_change(s, status, error) : 0;
	if (r < 0)
		return r;
	if (status == 404)
		return error_set(error, -ENOENT, "%.200s: HTTP 404", base);
	if (status == 401) {
		error_set(error, -EACCES, "%.200s: the service refuses the token (HTTP 401)", base);
		return refuse(s, TROUBLE_REFUSED, -EACCES, error);
	}
	if (status == 403) {
		error_set(error, -EACCES, "%.200s: the token may not do this (HTTP 403)", base);
		return refuse(s, TROUBLE_REFUSED, -EACCES, error);
	}
	if (status == 429 || status == 503) {
		error_set(error, -EAGAIN, "%.200s: the service has no time for this token (HTTP %ld)", base, status);
		return refuse(s, TROUBLE_BUSY, -EAGAIN, error);
	}
	if (status == 413) {
		error_set(error, -EFBIG, "%.200s: the value is too large (HTTP 413)", base);
		return refuse(s, TROUBLE_BROKEN, -EFBIG, error);
	}
	if (status >= 300 && status < 400)
		error_set(error, -EIO, "%.200s: the service redirects to elsewhere (HTTP %ld), which is not followed; name the place itself", base, status);
	else
		error_set(error, -EIO, "%.200s: HTTP %ld", base, status);
	return refuse(s, TROUBLE_BROKEN, -EIO, error);
}

/* How long to wait until it is asked again, in milliseconds; -1: it does not say. */
static int64_t wished_wait(const struct answer *answer)
{
	int64_t seconds;
	if ((answer->status != 429 && answer->status != 503) || retry_after_read(answer->retry_after, clock_unix(), &seconds) < 0)
		return -1;
	return seconds * 1000 < AGAIN_MIN_MS ? AGAIN_MIN_MS : seconds * 1000;
}

static int rest(const struct service *s, int64_t ms, const atomic_bool *cancel)
{
	const int64_t end = clock_ms() + ms;
	for (int64_t left; (left = end - clock_ms()) > 0;) {
		if (was_cancelled(cancel) || was_cancelled(s->stop))
			return -EINTR;
		poll(NULL, 0, left < CANCEL_MS ? (int)left : CANCEL_MS);
	}
	return 0;
}

int service_ask(struct service *service, const struct http_question *question, const atomic_bool *cancel, struct answer *answer, struct error *error)
{
	struct service *s = service;
	cleanup_buf struct buf url = {0};
	const int64_t end = clock_ms() + s->timeout_ms;
	bool renewed = false;
	buf_printf(&url, "%s%s", s->url.base, question->path);
	buf_put(&url, "", 1);
	if (url.failed)
		return error_set(error, -ENOMEM, "no memory");
	for (;;) {
		unsigned token;
		int r = ask_once(s, question, url.p, cancel, &token, answer, error);
		if (r < 0)
			return r;
		const int64_t wait = wished_wait(answer);
		if (answer->status == 401 && !renewed && token_renew(&s->token, token))
			renewed = true;
		else if (wait >= 0 && clock_ms() + wait <= end)
			r = rest(s, wait, cancel);
		else
			return judge(s, question, answer->status, error);
		if (r < 0)
			return error_set(error, r, "%s", strerror(-r));
		answer_done(answer);
	}
}

