/*
 * The URL of several servers without its password names the same servers, by TLS or not, and logs nobody in.
 *
 * Input: one byte that chooses cluster or sentinel, and TLS or not, then what follows the "://".
 */
#include "backend/redis/address/seeds.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same(const struct redis_seeds *a, const struct redis_seeds *b)
{
	CHECK(a->count == b->count && same_text(a->service, b->service));
	for (size_t i = 0; i < a->count; i++) {
		CHECK(strcmp(a->servers[i].host, b->servers[i].host) == 0);
		CHECK(a->servers[i].port == b->servers[i].port);
		CHECK(a->servers[i].port > 0 && a->servers[i].port <= 65535);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redis_target login = {0}, login_again = {0};
	struct redis_seeds seeds = {0}, again = {0};
	struct error error = {.text = ""};
	char *shown = NULL, *shown_again = NULL;
	if (size == 0)
		return 0;
	static const char *const schemes[2][2] = {{"redis-cluster://", "redis-sentinel://"}, {"rediss-cluster://", "rediss-sentinel://"}};
	const bool is_sentinel = data[0] & 1, has_tls = data[0] & 2;
	const enum target_kind kind = has_tls ? TARGET_TLS : TARGET_TCP;
	char *rest = strndup((const char *)data + 1, size - 1);
	CHECK(rest);
	int r = redis_seeds_read(rest, is_sentinel, kind, &login, &seeds, &shown, &error);
	CHECK(r == 0 || (r == -EINVAL && *error.text && !shown && !seeds.servers && !login.password && !login.at.tls));
	if (r == 0) {
		const char *scheme = schemes[has_tls][is_sentinel];
		CHECK(seeds.count >= 1 && seeds.count <= ADDRESSES_MAX && !login.at.host && !login.at.path);
		CHECK((seeds.service != NULL) == is_sentinel && (is_sentinel || login.db == 0));
		CHECK((login.at.tls != NULL) == has_tls);
		CHECK(strncmp(shown, scheme, strlen(scheme)) == 0);
		CHECK(redis_seeds_read(shown + strlen(scheme), is_sentinel, kind, &login_again, &again, &shown_again, &error) == 0);
		check_same(&seeds, &again);
		CHECK(!login_again.password && strcmp(shown, shown_again) == 0 && login.db == login_again.db);
		CHECK(!login_again.at.tls || (!login_again.at.tls->ca_file && !login_again.at.tls->key_file && !login_again.at.tls->unverified));
		CHECK(strstr(rest, "username=") || same_text(login.user, login_again.user));
	}
	redis_target_done(&login);
	redis_target_done(&login_again);
	redis_seeds_done(&seeds);
	redis_seeds_done(&again);
	free(shown);
	free(shown_again);
	free(rest);
	return 0;
}
