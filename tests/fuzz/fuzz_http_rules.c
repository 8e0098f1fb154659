/*
 * What a service or a user writes is read in bounds: a URL of a service is read to the same again, and names no private host that the SDK's rules let pass; a time to live and a
 * Retry-After are numbers within their limits; a key that the service can hold is written in a path without a '/', and not as a part of another path.
 *
 * Input: one byte that chooses, then the text.
 */
#include "backend/http/rules/retry_after.h"
#include "backend/http/rules/service_key.h"
#include "backend/http/rules/service_url.h"
#include "backend/http/rules/ttl.h"
#include "backend/remote/url.h"
#include "fuzz.h"

#include "ckfs/buf.h"

#include <errno.h>
#include <string.h>

static void check_url(const char *text)
{
	static const char scheme[] = "https://";
	struct service_url url = {.host = NULL}, again = {.host = NULL};
	struct error error = {.text = ""};
	int r = service_url_read(text, &url, &error);
	CHECK(r == 0 || (r == -EINVAL && *error.text && !url.host));
	if (r < 0)
		return;
	CHECK(*url.host && url.port > 0 && url.port <= 65535 && strncmp(url.base, scheme, sizeof scheme - 1) == 0);
	CHECK(!strpbrk(url.base, "\\?# \t\r\n") && !strchr(url.host, '@') && url.base[strlen(url.base) - 1] != '/');
	CHECK(service_url_read(url.base + sizeof scheme - 1, &again, &error) == 0 && strcmp(url.base, again.base) == 0 && url.port == again.port);
	if (service_url_check_host(&url, false, &error) == 0)
		CHECK(service_url_check_host(&url, true, &error) == 0 && strstr(url.host, "cachekit.io"));
	service_url_done(&url);
	service_url_done(&again);
}

static void check_key(const char *text, size_t n)
{
	struct buf escaped = {0};
	url_put_escaped(&escaped, text, n);
	CHECK(!escaped.failed && escaped.length >= n);
	for (size_t i = 0; i < escaped.length; i++)
		CHECK(escaped.p[i] > ' ' && escaped.p[i] < 0x7f && !strchr("/?#\\:", escaped.p[i]));
	if (service_can_hold(text, n))
		CHECK(n > 0 && n <= 400 && memchr(text, '/', n) == NULL && !memmem(text, n, "..", 2) && !(n == 1 && *text == '.'));
	buf_done(&escaped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t n = -2;
	if (size == 0)
		return 0;
	char *text = strndup((const char *)data + 1, size - 1);
	CHECK(text);
	switch (data[0] % 4) {
	case 0:
		check_url(text);
		break;
	case 1:
		check_key((const char *)data + 1, size - 1);
		break;
	case 2:
		CHECK(retry_after_read(text, 1700000000, &n) == 0 ? n >= 0 && n <= RETRY_AFTER_MAX : n == -2);
		break;
	default:
		CHECK(ttl_read(data + 1, size - 1, &n) == 0 ? n == TTL_NEVER || (n >= 0 && n <= TTL_MAX) : n == -2);
		break;
	}
	free(text);
	return 0;
}
