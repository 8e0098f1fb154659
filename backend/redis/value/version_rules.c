#include "version_rules.h"

#include <string.h>

/* --- hashes and ids --- */

XXH128_hash_t version_hash(uint64_t seed, const void *bytes, size_t n)
{
	return XXH3_128bits_withSeed(bytes, n, seed);
}

XXH128_hash_t version_head(uint64_t seed, uint64_t size, const void *first, const void *last)
{
	uint8_t ends[2 * REDIS_LISTED_HEAD];
	if (!last || size <= REDIS_LISTED_HEAD)
		return version_hash(seed, first, size < REDIS_LISTED_HEAD ? (size_t)size : REDIS_LISTED_HEAD);
	memcpy(ends, first, REDIS_LISTED_HEAD);
	memcpy(ends + REDIS_LISTED_HEAD, last, REDIS_LISTED_HEAD);
	return version_hash(seed, ends, sizeof ends);
}

struct identity {
	struct key_hash key;
	XXH128_hash_t hash;
	uint64_t size, change;
};

static struct version version_of(const struct sighting *seen, XXH128_hash_t hash, uint64_t size, uint64_t change)
{
	const struct identity identity = {*seen->key, hash, size, change};
	struct version version;
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, version_hash(seen->seed, &identity, sizeof identity));
	memcpy(version.id, canonical.digest, sizeof version.id);
	return version;
}

static struct version by_content(const struct sighting *seen)
{
	/* No value is as large: this kind of id is never one of the other kind. */
	return version_of(seen, seen->content, UINT64_MAX, 0);
}

static struct version by_head(const struct sighting *seen, uint64_t number)
{
	return version_of(seen, seen->head, seen->size, number);
}

/* --- what was seen, beside what is known --- */

static bool is_large(const struct sighting *seen)
{
	return seen->size > REDIS_LISTED_HEAD;
}

static bool same(XXH128_hash_t a, XXH128_hash_t b)
{
	return XXH128_isEqual(a, b);
}

static bool begins_as(const struct sighting *seen, const struct known_version *known)
{
	return known->size == seen->size && same(known->head, seen->head);
}

static bool has_content_of(const struct sighting *seen, const struct known_version *known)
{
	return seen->whole && known->content_known && known->size == seen->size && same(known->content, seen->content);
}

/* Nothing has changed since. A server that contradicts itself (another size or head without a change) shows another version. */
static bool is_unchanged(const struct sighting *seen, const struct known_version *known)
{
	return seen->settled && known->change == seen->change && begins_as(seen, known);
}

/* Nobody would have heard of a change. A listing goes by size and head then. */
static bool is_as_listed(const struct sighting *seen, const struct known_version *known)
{
	return known->change == VERSION_NO_CHANGE && begins_as(seen, known);
}

/* A lookup takes the version of a listing over as long as nobody has read the value: what is read first is its content. */
static bool is_first_read(const struct sighting *seen, const struct known_version *known)
{
	return is_as_listed(seen, known) && !known->content_known;
}

/* Something has changed, but maybe only the TTL, or the same bytes were written again. */
static bool may_be_same(const struct sighting *seen, const struct known_version *known)
{
	return seen->settled && !seen->whole && known->content_known && begins_as(seen, known);
}

/* Whether what was seen is one version at all. */
static bool is_sure(const struct sighting *seen)
{
	if (seen->settled)
		return true;
	if (seen->by_listing)
		return seen->whole || (!seen->announced && !seen->torn);
	/* No bytes, of two commands, may also be a key that has been created between them. */
	return seen->whole && (seen->size > 0 || seen->asked_whole);
}

static enum version_rule read_more(const struct sighting *seen)
{
	if (seen->by_listing)
		return VERSION_NAMELESS;
	return seen->whole || seen->looks >= VERSION_LOOKS_MAX ? VERSION_READ_WHOLE : VERSION_LOOK_AGAIN;
}

/* --- the rules --- */

bool version_needs_fence(const struct sighting *seen)
{
	/* A whole value has its content for a name, unless a listing has used another one. */
	return seen->announced && !seen->torn && is_large(seen) && (!seen->whole || seen->listed);
}

void version_settle(struct sighting *seen, bool fenced, uint64_t change)
{
	seen->settled = seen->announced && fenced && !seen->torn && change == seen->change;
}

enum version_rule version_choose(const struct sighting *seen, const struct known_version *known)
{
	if (!is_sure(seen))
		return read_more(seen);
	if (known && (has_content_of(seen, known) || is_unchanged(seen, known)))
		return VERSION_SAME;
	if (known && !seen->settled && seen->by_listing && is_as_listed(seen, known))
		return VERSION_SAME;
	if (known && !seen->settled && is_large(seen) && is_first_read(seen, known))
		return VERSION_CLAIMED;
	if (known && may_be_same(seen, known))
		return seen->by_listing ? VERSION_NAMELESS : VERSION_READ_WHOLE;
	if (seen->settled && is_large(seen))
		return VERSION_BY_CHANGE;
	return seen->whole ? VERSION_BY_CONTENT : VERSION_BY_NUMBER;
}

bool version_needs_number(enum version_rule rule)
{
	return rule == VERSION_BY_NUMBER || rule == VERSION_NAMELESS;
}

void version_name(const struct sighting *seen, enum version_rule rule, const struct known_version *known, uint64_t number,
	struct known_version *ret)
{
	bool is_known = rule == VERSION_SAME || rule == VERSION_CLAIMED;
	*ret = (struct known_version){
		.version = is_known ? known->version
			: rule == VERSION_BY_CONTENT ? by_content(seen)
			: by_head(seen, rule == VERSION_BY_CHANGE ? seen->change : number),
		.change = seen->still_announced ? seen->change : VERSION_NO_CHANGE,
		.written = is_known ? known->written : seen->written,
		.size = seen->size,
		.head = seen->head,
		.content_known = seen->whole || (is_known && known->content_known),
		.content = seen->whole || !is_known ? seen->content : known->content,
	};
}

enum version_rule version_fetched(const struct sighting *seen, const struct known_version *known, const struct version *version)
{
	const struct version by_change = by_head(seen, seen->change);
	if (seen->settled && version_equal(&by_change, version))
		return VERSION_SAME;
	if (!known || !version_equal(&known->version, version))
		return VERSION_OTHER;
	if (is_unchanged(seen, known) || has_content_of(seen, known))
		return VERSION_SAME;
	return is_first_read(seen, known) ? VERSION_CLAIMED : VERSION_OTHER;
}

bool version_takes_content(const struct known_version *known, const struct version *version, XXH128_hash_t content)
{
	return version_equal(&known->version, version) && (!known->content_known || same(known->content, content));
}

bool version_is_current(const struct known_version *known, bool announced, uint64_t change)
{
	return announced && known->change == change;
}
