/*
 * The URL of several servers without its password names the same servers, and logs nobody in.
 *
 * Input: one byte that chooses cluster or sentinel, then what follows the "://".
 */
#include "../../backend/redis_seeds.h"
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
	bool is_sentinel = data[0] & 1;
	char *rest = strndup((const char *)data + 1, size - 1);
	CHECK(rest);
	int r = redis_seeds_read(rest, is_sentinel, &login, &seeds, &shown, &error);
	CHECK(r == 0 || (r == -EINVAL && *error.text && !shown && !seeds.servers && !login.password));
	if (r == 0) {
		const char *scheme = is_sentinel ? "redis-sentinel://" : "redis-cluster://";
		CHECK(seeds.count >= 1 && seeds.count <= SEEDS_MAX && !login.host && !login.path);
		CHECK((seeds.service != NULL) == is_sentinel && (is_sentinel || login.db == 0));
		CHECK(strncmp(shown, scheme, strlen(scheme)) == 0);
		CHECK(redis_seeds_read(shown + strlen(scheme), is_sentinel, &login_again, &again, &shown_again, &error) == 0);
		check_same(&seeds, &again);
		CHECK(!login_again.password && strcmp(shown, shown_again) == 0 && login.db == login_again.db);
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
