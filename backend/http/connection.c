#include "connection.h"

#include "failure.h"

#include "ckfs/buf.h"
#include "ckfs/clock.h"
#include "ckfs/event.h"

#include <errno.h>
#include <string.h>

/* How often a wait looks whether it was cancelled. */
#define CANCEL_MS 100

/* An idle connection is probed after so many seconds, and then as often: what forgets connections on the way knows of it. */
#define KEEPALIVE_SECONDS 60
#define KEEPALIVE_AGAIN_SECONDS 10

#define BUFFER (64L << 10)

struct connection {
	struct pooled pooled;
	struct pool *pool;
	CURLM *multi;
	CURL *easy;
	const atomic_bool *cancel;
	atomic_uint_least64_t *progress;
	int64_t moved; /* monotonic ms: when something has arrived, or the request began */
	bool issued;   /* a change: it may have reached the service */
	const struct slice *body;
	uint64_t sent; /* bytes of that */
	char said[CURL_ERROR_SIZE];
};

int http_library_init(void)
{
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

/* --- the pool's side --- */

static void close_one(struct pooled *pooled)
{
	struct connection *c = (struct connection *)pooled;
	if (!c)
		return;
	curl_easy_cleanup(c->easy);
	curl_multi_cleanup(c->multi);
	free(c);
}

/* No network is touched. */
static int open_one(struct pool *pool, struct pooled **ret, struct error *error)
{
	struct connection *c = calloc(1, sizeof *c);
	if (!c)
		return error_set(error, -ENOMEM, "no memory");
	c->pool = pool;
	c->multi = curl_multi_init();
	c->easy = curl_easy_init();
	if (!c->multi || !c->easy) {
		close_one(&c->pooled);
		return error_set(error, -ENOMEM, "no memory");
	}
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 1L);
	*ret = &c->pooled;
	return 0;
}

/* What failed has closed its own connection. */
static bool is_clean(const struct pooled *pooled)
{
	(void)pooled;
	return true;
}

static void lend(struct pooled *pooled, const atomic_bool *cancel, atomic_uint_least64_t *progress)
{
	struct connection *c = (struct connection *)pooled;
	c->cancel = cancel;
	c->progress = progress;
}

const struct pool_ops http_pool_ops = {.open = open_one, .close = close_one, .is_clean = is_clean, .lend = lend};

/* --- one transfer --- */

static void set_tls(CURL *easy, const struct http_target *target)
{
	const struct tls_settings *tls = target->tls;
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	/* Certificates that are renewed are read again. */
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	if (target->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, target->ca_file);
	if (target->ca_dir || tls->only_ca_file)
		curl_easy_setopt(easy, CURLOPT_CAPATH, target->ca_dir);
	if (tls->cert_file)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->cert_file);
	if (tls->key_file)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key_file);
}

/* --- changes --- */

/* It is called before each time that the request is sent, and libcurl sends one again when a kept connection turns out to be dead. */
static int on_issue(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	struct connection *c = arg;
	(void)remote, (void)local, (void)remote_port, (void)local_port;
	const bool again = c->issued;
	c->issued = true;
	return again ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static size_t on_send(char *to, size_t size, size_t n, void *arg)
{
	struct connection *c = arg;
	const uint64_t left = c->body->length - c->sent;
	(void)size;
	n = n < left ? n : (size_t)left;
	if (slice_read(c->body, c->sent, to, n) < 0)
		return CURL_READFUNC_ABORT;
	c->sent += n;
	return n;
}

static void set_change(struct connection *c, const struct http_question *question)
{
	CURL *easy = c->easy;
	c->issued = false;
	c->sent = 0;
	c->body = question->body;
	if (c->body) {
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->body->length);
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
		curl_easy_setopt(easy, CURLOPT_READDATA, c);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, question->method);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_issue);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, c);
}

static void set_transfer(struct connection *c, const struct http_request *request, struct curl_slist *headers)
{
	CURL *easy = c->easy;
	curl_easy_reset(easy);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->said);
	curl_easy_setopt(easy, CURLOPT_URL, request->url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	/* A redirection would take the token elsewhere. */
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	/* As the SDK. */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)c->pool->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_SECONDS);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_AGAIN_SECONDS);
	set_tls(easy, request->target);
	if (request->question->method)
		set_change(c, request->question);
}

/* NULL: no memory. */
static struct curl_slist *headers_new(const char *token, const struct http_question *question)
{
	/* The service refuses some tokens without the first one. */
	const char *const lines[] = {"X-CacheKit-L1-Status: disabled", "Accept-Encoding: identity", "User-Agent: ckfs", question->method ? "Expect:" : NULL, question->headers[0],
		question->headers[1]};
	struct curl_slist *headers = NULL;
	struct buf line = {0};
	buf_printf(&line, "Authorization: Bearer %s", token);
	buf_put(&line, "", 1);
	if (!line.failed)
		headers = curl_slist_append(NULL, line.p);
	for (size_t i = 0; headers && i < sizeof lines / sizeof *lines; i++) {
		if (!lines[i])
			continue;
		struct curl_slist *more = curl_slist_append(headers, lines[i]);
		if (!more)
			curl_slist_free_all(headers);
		headers = more;
	}
	if (line.p)
		sodium_memzero(line.p, line.length);
	buf_done(&line);
	return headers;
}

static void headers_free(struct curl_slist *headers)
{
	if (headers)
		sodium_memzero(headers->data, strlen(headers->data));
	curl_slist_free_all(headers);
}

/* All that was sent and has arrived so far, in bytes. */
static curl_off_t arrived(CURL *easy)
{
	curl_off_t body = 0, sent = 0;
	long head = 0;
	curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &body);
	curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	curl_easy_getinfo(easy, CURLINFO_HEADER_SIZE, &head);
	return body + head + sent;
}

static bool is_over(const struct connection *c)
{
	return was_cancelled(c->cancel) || was_cancelled(c->pool->stop);
}

/* Runs the transfer. 0 and what libcurl makes of it; -EINTR, -ETIMEDOUT, -ENOMEM. */
static int run(struct connection *c, CURLcode *ret)
{
	int64_t moved = clock_ms();
	curl_off_t before = 0;
	int running = 1, left;
	for (;;) {
		if (curl_multi_perform(c->multi, &running) != CURLM_OK)
			return -ENOMEM;
		if (running == 0)
			break;
		const curl_off_t now = arrived(c->easy);
		if (now != before) {
			before = now;
			moved = clock_ms();
			atomic_fetch_add(c->progress, 1);
		}
		if (is_over(c))
			return -EINTR;
		const int64_t patience = moved + c->pool->timeout_ms - clock_ms();
		if (patience <= 0)
			return -ETIMEDOUT;
		if (curl_multi_poll(c->multi, NULL, 0, patience < CANCEL_MS ? (int)patience : CANCEL_MS, NULL) != CURLM_OK)
			return -ENOMEM;
	}
	const CURLMsg *message = curl_multi_info_read(c->multi, &left);
	*ret = message ? message->data.result : CURLE_OUT_OF_MEMORY;
	return 0;
}

/* The transfer that was set up. */
static int transfer(struct connection *c, const struct http_request *request)
{
	CURLcode code = CURLE_OK;
	const char *reason = NULL;
	*c->said = '\0';
	if (curl_multi_add_handle(c->multi, c->easy) != CURLM_OK)
		return error_set(request->error, -ENOMEM, "no memory");
	int r = run(c, &code);
	if (r < 0)
		error_set(request->error, r, "%.200s port %d: %s", request->target->host, request->target->port, r == -ETIMEDOUT ? "timed out" : strerror(-r));
	else if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && answer_is_enough(request->answer)))
		r = http_failure(code, c->easy, c->said, request);
	/* Headers are there as long as the transfer is. */
	if (r == 0) {
		r = answer_end(request->answer, &reason);
		if (r < 0)
			error_set(request->error, r, "%.200s: %s", request->target->host, reason ? reason : strerror(-r));
	}
	/* One that has not ended closes its connection. */
	curl_multi_remove_handle(c->multi, c->easy);
	return r;
}

int http_connection_ask(struct pooled *pooled, void *arg)
{
	struct connection *c = (struct connection *)pooled;
	const struct http_request *request = arg;
	struct curl_slist *headers = headers_new(request->token, request->question);
	if (!headers)
		return error_set(request->error, -ENOMEM, "no memory");
	set_transfer(c, request, headers);
	answer_begin(request->answer, c->easy, request->question->spool, request->question->text);
	int r = transfer(c, request);
	if (r < 0 && r != -EINTR && request->question->method && c->issued) {
		const struct error why = *request->error;
		r = error_set(request->error, -ETIMEDOUT, "%.400s; whether the change was made is not known", why.text);
	}
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, NULL);
	headers_free(headers);
	return r;
}
