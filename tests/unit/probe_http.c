#include "probe_http.h"

#include "backend/http/rules/retry_after.h"
#include "backend/http/rules/service_key.h"
#include "backend/http/rules/service_url.h"
#include "backend/http/rules/ttl.h"
#include "backend/remote/url.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_member(const char *name, const char *text)
{
	struct buf buf = {0};
	buf_json_string(&buf, text, strlen(text));
	printf(", \"%s\": %.*s", name, (int)buf.length, buf.p);
	buf_done(&buf);
}

static int probe_key(const char *key, size_t n)
{
	cleanup_buf struct buf escaped = {0};
	url_put_escaped(&escaped, key, n);
	buf_put(&escaped, "", 1);
	printf("{\"held\": %s", service_can_hold(key, n) ? "true" : "false");
	print_member("escaped", escaped.p);
	return 0;
}

static int probe_retry_after(const char *text)
{
	const char *value = strchr(text, '\n');
	int64_t seconds = 0;
	int r = value ? retry_after_read(value + 1, atoll(text), &seconds) : -EINVAL;
	printf("{\"errno\": %d, \"seconds\": %lld", -r, (long long)seconds);
	return 0;
}

static int probe_ttl(const uint8_t *bytes, size_t n)
{
	int64_t ttl = 0;
	int r = ttl_read(bytes, n, &ttl);
	printf("{\"errno\": %d, \"ttl\": %lld", -r, (long long)ttl);
	return 0;
}

static int probe_url(const char *location)
{
	struct service_url url;
	struct error error = {.text = ""};
	int r = service_url_read(location, &url, &error);
	printf("{\"errno\": %d", -r);
	print_member("error", error.text);
	if (r < 0)
		return 0;
	print_member("host", url.host);
	print_member("base", url.base);
	printf(", \"port\": %d, \"known\": %s", url.port, service_url_check_host(&url, false, &error) == 0 ? "true" : "false");
	printf(", \"allowed\": %s", service_url_check_host(&url, true, &error) == 0 ? "true" : "false");
	service_url_done(&url);
	return 0;
}

int probe_http(uint8_t mode, const uint8_t *bytes, size_t n)
{
	cleanup_free char *text = strndup((const char *)bytes, n);
	if (!text)
		return -ENOMEM;
	switch (mode) {
	case 'K':
		return probe_key((const char *)bytes, n);
	case 'R':
		return probe_retry_after(text);
	case 'T':
		return probe_ttl(bytes, n);
	default:
		return probe_url(text);
	}
}
