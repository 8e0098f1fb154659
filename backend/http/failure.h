/* What a transfer has failed with: as an errno, and in words that help. */
#ifndef CKFS_HTTP_FAILURE_H
#define CKFS_HTTP_FAILURE_H

#include "connection.h"

/* `code`: of the transfer of `easy`; `words`: libcurl's own, or "". -errno as of http_connection_ask(), with the request's error set. */
int http_failure(CURLcode code, CURL *easy, const char *words, const struct http_request *request);

#endif
