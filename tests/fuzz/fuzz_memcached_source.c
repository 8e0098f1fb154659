/*
 * A source without its password names the same servers, in the same places, and logs nobody in.
 *
 * Input: one byte (odd: the SDK's list), then what follows the "://", or the list.
 */
#include "backend/memcached/address/placement.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static void check_same(const struct mc_source *a, const struct mc_source *b)
{
	CHECK(a->count == b->count && !b->password);
	for (size_t i = 0; i < a->count; i++)
		CHECK(strcmp(a->nodes[i].name, b->nodes[i].name) == 0);
	CHECK(placement_of(a, "key", 3) == placement_of(b, "key", 3));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char scheme[] = "memcached://";
	struct mc_source source = {0}, again = {0};
	struct error error = {.text = ""};
	char *shown = NULL, *shown_again = NULL;
	if (size == 0)
		return 0;
	const bool is_list = data[0] & 1;
	char *rest = strndup((const char *)data + 1, size - 1);
	CHECK(rest);
	int r = is_list ? mc_source_read_list("LIST", rest, &source, &shown, &error) : mc_source_read(rest, &source, &shown, &error);
	CHECK(r == 0 || (r == -EINVAL && *error.text && !shown && source.count == 0));
	if (r == 0) {
		CHECK(source.count > 0 && source.count <= ADDRESSES_MAX && strncmp(shown, scheme, strlen(scheme)) == 0);
		for (size_t i = 0; i < source.count; i++) {
			const struct endpoint *at = &source.nodes[i].at;
			CHECK((at->host != NULL) != (at->path != NULL) && (at->path || (at->port > 0 && at->port <= 65535)));
		}
	}
	/* The names of hosts that the SDK's list may have are not all such that a URL can. */
	if (r == 0 && !is_list) {
		CHECK(mc_source_read(shown + strlen(scheme), &again, &shown_again, &error) == 0 && strcmp(shown, shown_again) == 0);
		check_same(&source, &again);
	}
	mc_source_done(&source);
	mc_source_done(&again);
	free(shown);
	free(shown_again);
	free(rest);
	return 0;
}
