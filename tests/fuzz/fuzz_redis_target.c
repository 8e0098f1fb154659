/*
 * A server's URL without its password names the same server, by TLS or not, and logs nobody in.
 *
 * Input: one byte that chooses the scheme, then what follows the "://".
 */
#include "backend/redis/address/target.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redis_target target = {0}, again = {0};
	struct error error = {.text = ""};
	char *shown = NULL, *shown_again = NULL;
	if (size == 0)
		return 0;
	static const char *const schemes[] = {[TARGET_TCP] = "redis://", [TARGET_UNIX] = "unix://", [TARGET_TLS] = "rediss://"};
	enum target_kind kind = data[0] & 1 ? TARGET_UNIX : data[0] & 2 ? TARGET_TLS : TARGET_TCP;
	bool is_unix = kind == TARGET_UNIX;
	char *rest = strndup((const char *)data + 1, size - 1);
	CHECK(rest);
	int r = redis_target_read(rest, kind, &target, &shown, &error);
	CHECK(r == 0 || (r == -EINVAL && *error.text && !shown && !target.at.host && !target.at.path && !target.at.tls));
	if (r == 0) {
		CHECK((target.at.path != NULL) == is_unix && (target.at.host != NULL) == !is_unix);
		CHECK(is_unix || (target.at.port > 0 && target.at.port <= 65535));
		CHECK((target.at.tls != NULL) == (kind == TARGET_TLS));
		const char *scheme = schemes[kind];
		CHECK(strncmp(shown, scheme, strlen(scheme)) == 0);
		CHECK(redis_target_read(shown + strlen(scheme), kind, &again, &shown_again, &error) == 0);
		CHECK(!again.password && strcmp(shown, shown_again) == 0);
		CHECK(!again.at.tls || (!again.at.tls->ca_file && !again.at.tls->key_file && !again.at.tls->unverified));
		CHECK(same_text(target.at.host, again.at.host) && same_text(target.at.path, again.at.path));
		CHECK(target.at.port == again.at.port && target.db == again.db);
		CHECK(strstr(rest, "username=") || same_text(target.user, again.user));
	}
	redis_target_done(&target);
	redis_target_done(&again);
	free(shown);
	free(shown_again);
	free(rest);
	return 0;
}
