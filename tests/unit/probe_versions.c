#include "probe_versions.h"

#include "backend/redis/value/version_rules.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct request {
	char ask[16];
	struct key_hash key;
	struct sighting seen;
	bool is_known;
	struct known_version known;
	struct version version; /* that was found, or is claimed */
	uint64_t number;        /* of its own, for a version */
	uint64_t rule;          /* to name by */
	bool has_fence, fenced;
	uint64_t now;           /* number of the last change after the fence */
	uint8_t first[REDIS_LISTED_HEAD], last[REDIS_LISTED_HEAD];
	bool has_last;
	uint64_t looks, written, known_written; /* seconds */
};

static void print_hex(const char *name, const void *bytes, size_t n)
{
	char hex[65];
	printf(", \"%s\": \"%s\"", name, sodium_bin2hex(hex, sizeof hex, bytes, n));
}

static void print_hash(const char *name, XXH128_hash_t hash)
{
	printf(", \"%s\": %" PRIu64, name, hash.low64);
}

static bool read_hex(const char *text, void *ret, size_t n)
{
	size_t length = 0;
	return sodium_hex2bin(ret, n, text, strlen(text), NULL, &length, NULL) == 0 && length == n;
}

static bool read_number(const char *name, uint64_t value, struct request *r)
{
	const struct {
		const char *name;
		uint64_t *number;
		bool *flag;
	} fields[] = {
		{"seed", &r->seen.seed, NULL},
		{"by_listing", NULL, &r->seen.by_listing},
		{"asked_whole", NULL, &r->seen.asked_whole},
		{"size", &r->seen.size, NULL},
		{"torn", NULL, &r->seen.torn},
		{"head", &r->seen.head.low64, NULL},
		{"whole", NULL, &r->seen.whole},
		{"content", &r->seen.content.low64, NULL},
		{"announced", NULL, &r->seen.announced},
		{"change", &r->seen.change, NULL},
		{"settled", NULL, &r->seen.settled},
		{"still_announced", NULL, &r->seen.still_announced},
		{"listed", NULL, &r->seen.listed},
		{"looks", &r->looks, NULL},
		{"written", &r->written, NULL},
		{"known", NULL, &r->is_known},
		{"known.written", &r->known_written, NULL},
		{"known.change", &r->known.change, NULL},
		{"known.size", &r->known.size, NULL},
		{"known.head", &r->known.head.low64, NULL},
		{"known.content_known", NULL, &r->known.content_known},
		{"known.content", &r->known.content.low64, NULL},
		{"number", &r->number, NULL},
		{"rule", &r->rule, NULL},
		{"fenced", NULL, &r->fenced},
		{"now", &r->now, NULL},
	};
	r->has_fence |= strcmp(name, "fenced") == 0;
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		if (strcmp(fields[i].name, name) != 0)
			continue;
		if (fields[i].number)
			*fields[i].number = value;
		else
			*fields[i].flag = value;
		return true;
	}
	return false;
}

static bool read_word(const char *name, const char *value, struct request *r)
{
	if (strcmp(name, "ask") == 0)
		return snprintf(r->ask, sizeof r->ask, "%s", value) < (int)sizeof r->ask;
	if (strcmp(name, "key") == 0)
		return read_hex(value, r->key.bytes, sizeof r->key.bytes);
	if (strcmp(name, "version") == 0)
		return read_hex(value, r->version.id, sizeof r->version.id);
	if (strcmp(name, "known.version") == 0)
		return read_hex(value, r->known.version.id, sizeof r->known.version.id);
	if (strcmp(name, "first") == 0)
		return sodium_hex2bin(r->first, sizeof r->first, value, strlen(value), NULL, NULL, NULL) == 0;
	if (strcmp(name, "last") == 0)
		return (r->has_last = read_hex(value, r->last, sizeof r->last));
	return read_number(name, strtoull(value, NULL, 10), r);
}

static int read_request(char *text, struct request *ret)
{
	char *rest = NULL;
	for (char *name = strtok_r(text, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
		char *value = strchr(name, '=');
		if (!value)
			return -EINVAL;
		*value++ = '\0';
		if (!read_word(name, value, ret))
			return -EINVAL;
	}
	ret->seen.key = &ret->key;
	ret->seen.looks = (unsigned)ret->looks;
	ret->seen.written.tv_sec = (time_t)ret->written;
	ret->known.written.tv_sec = (time_t)ret->known_written;
	return 0;
}

static void print_rule(enum version_rule rule)
{
	static const char *const names[] = {"same", "claimed", "by content", "by change", "by number", "nameless", "look again", "read whole", "other"};
	printf("{\"rule\": \"%s\"", names[rule]);
}

static void print_named(const struct request *r, enum version_rule rule)
{
	struct known_version named;
	version_name(&r->seen, rule, &r->known, r->number, &named);
	print_hex("version", named.version.id, sizeof named.version.id);
	printf(", \"change\": %" PRIu64 ", \"written\": %lld, \"size\": %" PRIu64 ", \"content_known\": %s", named.change,
	       (long long)named.written.tv_sec, named.size, named.content_known ? "true" : "false");
	print_hash("head", named.head);
	print_hash("content", named.content);
}

/* As a lookup or a listing does: the fence, if there is one, then the rule, then the name. */
static void probe_choose(struct request *r)
{
	bool needs_fence = version_needs_fence(&r->seen);
	if (r->has_fence)
		version_settle(&r->seen, r->fenced, r->now);
	enum version_rule rule = version_choose(&r->seen, r->is_known ? &r->known : NULL);
	print_rule(rule);
	printf(", \"needs_fence\": %s, \"settled\": %s, \"needs_number\": %s", needs_fence ? "true" : "false", r->seen.settled ? "true" : "false",
	       version_needs_number(rule) ? "true" : "false");
	if (rule <= VERSION_NAMELESS)
		print_named(r, rule);
}

static int answer(struct request *r)
{
	const struct known_version *known = r->is_known ? &r->known : NULL;
	if (strcmp(r->ask, "choose") == 0) {
		probe_choose(r);
	} else if (strcmp(r->ask, "name") == 0 && r->rule <= VERSION_NAMELESS) {
		print_rule((enum version_rule)r->rule);
		print_named(r, (enum version_rule)r->rule);
	} else if (strcmp(r->ask, "fetched") == 0) {
		print_rule(version_fetched(&r->seen, known, &r->version));
	} else if (strcmp(r->ask, "takes") == 0) {
		printf("{\"is\": %s", version_takes_content(&r->known, &r->version, r->seen.content) ? "true" : "false");
	} else if (strcmp(r->ask, "current") == 0) {
		printf("{\"is\": %s", version_is_current(&r->known, r->seen.announced, r->seen.change) ? "true" : "false");
	} else if (strcmp(r->ask, "head") == 0) {
		XXH128_canonical_t canonical;
		XXH128_canonicalFromHash(&canonical, version_head(r->seen.seed, r->seen.size, r->first, r->has_last ? r->last : NULL));
		printf("{\"size\": %" PRIu64, r->seen.size);
		print_hex("hash", canonical.digest, sizeof canonical.digest);
	} else {
		return -EINVAL;
	}
	return 0;
}

int probe_versions(const uint8_t *bytes, size_t n)
{
	struct request request = {0};
	char *text = strndup((const char *)bytes, n);
	if (!text)
		return -ENOMEM;
	int r = read_request(text, &request);
	free(text);
	return r < 0 ? r : answer(&request);
}
