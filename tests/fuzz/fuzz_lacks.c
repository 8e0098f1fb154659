/*
 * What ckfs lacks, or a file that was cut, is never told as a property of an entry, and nothing of it is remembered.
 *
 * When one allocation fails, or all from then on, each view shows what it shows otherwise or ENOMEM, and all of it once there is memory
 * again. When the cache file is shorter than it was found, each view shows what it shows otherwise or EIO.
 *
 * Input: what is lacking (0 one allocation, 1 all from then on, 2 the end of the file), and where, u16 (ffff: at each place in turn); the
 * rest is an input of fuzz_value.
 */
#include "fuzz.h"
#include "peeled.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

/* The linker has ckfs and this file call these; libraries do not. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strndup(const char *text, size_t n);
void *__real_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strndup(const char *text, size_t n);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);

/* Allocations until the first that fails; 0: none does. */
static atomic_long left;
static bool for_ever;

static bool is_lacking(void)
{
	if (left == 0 || (for_ever && left == 1))
		return left == 1;
	return atomic_fetch_sub(&left, 1) == 1;
}

void *__wrap_malloc(size_t n)
{
	return is_lacking() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return is_lacking() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return is_lacking() ? NULL : __real_realloc(p, n);
}

char *__wrap_strndup(const char *text, size_t n)
{
	return is_lacking() ? NULL : __real_strndup(text, n);
}

void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	errno = ENOMEM;
	return is_lacking() ? MAP_FAILED : __real_mmap(at, n, protection, flags, fd, offset);
}

static bool same_bytes(const struct buf *a, const struct buf *b)
{
	return a->length == b->length && (a->length == 0 || memcmp(a->p, b->p, a->length) == 0);
}

/* The same, where nothing was lacking. */
static void check_same(const struct peeled *good, const struct peeled *other, int lack)
{
	for (unsigned i = 0; i < VIEW_META; i++) {
		const struct shown *a = &good->views[i], *b = &other->views[i];
		CHECK(b->lookup == a->lookup || (lack && b->lookup == -lack));
		CHECK(b->lookup < 0 || b->size == a->size);
		CHECK(b->open == a->open || (lack && b->open == -lack));
		CHECK(b->open < 0 || same_bytes(&a->bytes, &b->bytes));
	}
	CHECK(lack || same_bytes(&good->attributes, &other->attributes));
	CHECK(lack || same_bytes(&good->meta, &other->meta));
}

/* What another mount shows, in which something is lacking. Whether it was. */
static bool check_lacking(const struct stored_value *value, const struct peeled *good, unsigned what, unsigned where)
{
	struct peeled lacking, after;
	struct cache_of_one *cache = cache_of_one_new(value, false);
	if (what == 2)
		cache_of_one_cut(cache, where);
	else
		cache_of_one_lack(cache, ENOMEM);
	for_ever = what == 1;
	left = what == 2 ? 0 : 1 + where;
	cache_of_one_peel(cache, where % VIEW_COUNT, &lacking);
	const bool lacked = what == 2 ? where < value->value.length : left <= for_ever;
	left = 0;
	check_same(good, &lacking, what == 2 ? EIO : ENOMEM);
	peeled_done(&lacking);
	if (what != 2) {
		cache_of_one_lack(cache, 0);
		cache_of_one_peel(cache, 0, &after);
		check_same(good, &after, 0);
		peeled_done(&after);
	}
	cache_of_one_free(cache);
	return lacked;
}

static void check_all(const struct stored_value *value, const struct peeled *good, unsigned what)
{
	const unsigned step = what == 2 ? 1 + (unsigned)value->value.length / 64 : 1;
	for (unsigned where = 0; check_lacking(value, good, what, where) && where < 4096; where += step)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_of(data, size);
	struct stored_value value;
	struct peeled good;
	uint8_t what = 0, n = 0;
	uint16_t where = 0;
	const uint8_t *choices = (const uint8_t *)"";
	CHECK(sodium_init() >= 0);
	(void)(bytes_u8(&b, &what) && bytes_u16be(&b, &where) && bytes_u8(&b, &n));
	if (!bytes_take(&b, n, &choices))
		(void)bytes_take(&b, n = (uint8_t)b.left, &choices);
	stored_value_make(bytes_of(choices, n), b, &value);
	struct cache_of_one *cache = cache_of_one_new(&value, false);
	cache_of_one_peel(cache, 0, &good);
	cache_of_one_free(cache);
	if (where == 0xffff)
		check_all(&value, &good, what % 3);
	else
		check_lacking(&value, &good, what % 3, where);
	peeled_done(&good);
	stored_value_done(&value);
	return 0;
}
