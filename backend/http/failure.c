#include "failure.h"

#include <errno.h>
#include <string.h>

/* What keeps this machine from the network is no answer of the service, whose EACCES is about tokens. */
static int connect_errno(long number)
{
	switch (number) {
	case 0:
		return -ECONNREFUSED;
	case EACCES:
	case EPERM:
	case EINVAL:
	case EADDRNOTAVAIL:
	case ENETUNREACH:
		return -EHOSTUNREACH;
	case ENOBUFS:
		return -ENOMEM;
	default:
		return -(int)number;
	}
}

static int explain_connect(CURL *easy, const struct http_target *t, struct error *error)
{
	long number = 0;
	curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
	int r = connect_errno(number);
	return error_set(error, r, "%.200s port %d: %s%s", t->host, t->port, strerror(number ? (int)number : ECONNREFUSED),
		r == -ECONNREFUSED ? "; is the service running?" : "");
}

static int explain_certificate(const char *said, const struct http_target *t, struct error *error)
{
	/* Of OpenSSL: the first is of a name, the second of an address. */
	if (strstr(said, "subject name") || strstr(said, "does not match"))
		return error_set(error, -EACCES, "%.200s port %d: the server's certificate is not for %.100s", t->host, t->port, t->host);
	return error_set(error, -EACCES, "%.200s port %d: the server's certificate is not trusted: %.150s; give its CA with -o tls_ca=FILE", t->host, t->port, said);
}

/* libcurl's own words name neither header nor token. */
int http_failure(CURLcode code, CURL *easy, const char *words, const struct http_request *request)
{
	const struct http_target *t = request->target;
	const struct answer *answer = request->answer;
	const char *said = *words ? words : curl_easy_strerror(code);
	struct error *error = request->error;
	switch (code) {
	case CURLE_WRITE_ERROR:
		if (answer->failure < 0)
			return error_set(error, answer->failure, "%.200s: %s", t->host, answer->reason ? answer->reason : strerror(-answer->failure));
		return error_set(error, -EIO, "%.200s: %.200s", t->host, said);
	case CURLE_OUT_OF_MEMORY:
		return error_set(error, -ENOMEM, "no memory");
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return error_set(error, -EHOSTUNREACH, "%.200s: %.200s", t->host, said);
	case CURLE_COULDNT_CONNECT:
		return explain_connect(easy, t, error);
	case CURLE_OPERATION_TIMEDOUT:
		return error_set(error, -ETIMEDOUT, "%.200s port %d: timed out", t->host, t->port);
	case CURLE_PEER_FAILED_VERIFICATION:
		return explain_certificate(said, t, error);
	case CURLE_SSL_CACERT_BADFILE:
		return error_set(error, -EIO, "%.200s: contains no CA certificates (PEM)", t->ca_file ? t->ca_file : "the system's file of CAs");
	case CURLE_SSL_CERTPROBLEM:
		return error_set(error, -EIO, "tls_cert= or tls_key=: %.200s", said);
	case CURLE_SSL_CONNECT_ERROR:
		return error_set(error, -EIO, "%.200s port %d: TLS failed: %.200s", t->host, t->port, said);
	default:
		return error_set(error, -EIO, "%.200s: %.200s", t->host, said);
	}
}
