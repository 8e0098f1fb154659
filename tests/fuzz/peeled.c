/* Peels one value to every depth and looks at all that the layers tell of it: one pass, so that each check sees what the ones before it found. */
#include "peeled.h"

#include "ckfs/attributes.h"
#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include "fuzz.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a remote backend's listing reads of a value. */
#define HEAD 512

/* The longest that work may go on for which nobody waits. */
#define ENDS_MS 20000

struct cache_of_one {
	struct backend backend; /* first */
	const struct stored_value *value;
	struct options options;
	struct stats stats;
	struct known_keys *known;
	struct keyring *keyring;
	struct entries *entries;
	struct key key;
	struct slice whole;   /* the value */
	int lack;             /* what may be lacking */
	bool is_cut;          /* … and the value lies in a file that is cut at: */
	uint64_t cut;
	atomic_bool slow;     /* a fetch takes for ever */
	atomic_uint fetching; /* … and so many are under way */
};

/* --- the backend --- */

/* A file that holds the value, as long as it is not looked at any closer. */
static void put_in_file(const struct cache_of_one *cache, struct slice *ret)
{
	const struct buf *value = &cache->value->value;
	struct storage *storage;
	int fd = memfd_create("value", MFD_CLOEXEC);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)(cache->cut < value->length ? cache->cut : value->length)) == 0);
	CHECK(pwrite(fd, value->p, cache->cut < value->length ? cache->cut : value->length, 0) >= 0);
	CHECK(storage_new_fd(fd, value->p, value->length < HEAD ? value->length : HEAD, &storage) == 0);
	slice_new(storage, 0, value->length, ret);
	storage_unref(storage);
}

static void describe(const struct cache_of_one *cache, bool whole, struct stored *ret)
{
	const struct buf *value = &cache->value->value;
	*ret = (struct stored){.version.id = "one", .size = value->length, .written.tv_sec = 1};
	if (cache->is_cut) {
		put_in_file(cache, &ret->value);
		return;
	}
	if (whole || value->length <= HEAD) {
		slice_copy(&cache->whole, &ret->value);
		return;
	}
	struct storage *storage;
	CHECK(storage_new_partial(value->p, HEAD, &storage) == 0);
	slice_new(storage, 0, value->length, &ret->value);
	storage_unref(storage);
}

static int one_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel, struct stored *ret)
{
	const struct cache_of_one *cache = (const struct cache_of_one *)backend;
	(void)spool;
	(void)cancel;
	CHECK(key_hash_equal(&key->hash, &cache->key.hash));
	describe(cache, whole || !backend->ops->remote, ret);
	return 0;
}

static int one_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool,
	const atomic_bool *cancel, struct slice *ret)
{
	struct cache_of_one *cache = (struct cache_of_one *)backend;
	(void)key;
	(void)stored;
	(void)spool;
	atomic_fetch_add(&cache->fetching, 1);
	while (cache->slow && !atomic_load(cancel))
		sched_yield();
	bool cancelled = atomic_load(cancel);
	atomic_fetch_sub(&cache->fetching, 1);
	if (!cancelled)
		slice_copy(&cache->whole, ret);
	return cancelled ? -EINTR : 0;
}

static const struct backend_ops
	local_ops = {.name = "one", .find = one_find},
	remote_ops = {.name = "one", .remote = true, .find = one_find, .fetch = one_fetch};

/* --- what a mount has besides --- */

struct cache_of_one *cache_of_one_new(const struct stored_value *value, bool remote)
{
	static char spool_dir[] = "/var/tmp";
	struct cache_of_one *cache = calloc(1, sizeof *cache);
	struct error error;
	CHECK(cache);
	cache->value = value;
	cache->backend.ops = remote ? &remote_ops : &local_ops;
	if (value->settings & SETTING_PREFIX) {
		cache->backend.prefix = strdup(STORED_PREFIX);
		cache->backend.prefix_length = strlen(STORED_PREFIX);
	}
	cache->options = (struct options){.spool_dir = spool_dir, .fail_closed = value->settings & SETTING_FAIL_CLOSED};
	cache->options.bare = value->declared == DECLARED_MSGPACK ? BARE_MSGPACK : BARE_OPAQUE;
	cache->options.bare_tenant = value->bare_tenant ? strdup(value->bare_tenant) : NULL;
	cache->options.verify = value->settings & SETTING_VERIFY_NEVER ? VERIFY_NEVER : VERIFY_FIRST;
	cache->options.cache_size = value->settings & SETTING_SMALL ? 256 << 10 : 64 << 20;
	if (value->settings & SETTING_KEYRING)
		CHECK(keyring_new(stored_master, "here", stored_previous, NULL, &cache->keyring, &error) == 0);
	CHECK(key_from_text(value->key, strlen(value->key), &cache->key) == 0);
	if (value->settings & SETTING_HASH) {
		struct key_hash hash = cache->key.hash;
		key_done(&cache->key);
		key_from_hash(&hash, &cache->key);
	}
	CHECK(slice_new_copy(value->value.p ? value->value.p : "", value->value.length, &cache->whole) == 0);
	CHECK(known_keys_new(&cache->known) == 0);
	const struct entries_parts parts = {.options = &cache->options, .backend = &cache->backend, .known = cache->known,
		.stats = &cache->stats, .keyring = cache->keyring};
	CHECK(entries_new(&parts, &cache->entries) == 0);
	return cache;
}

void cache_of_one_free(struct cache_of_one *cache)
{
	entries_free(cache->entries);
	CHECK(cache->stats.entries == 0);
	known_keys_free(cache->known);
	keyring_free(cache->keyring);
	slice_done(&cache->whole);
	key_done(&cache->key);
	free(cache->backend.prefix);
	free(cache->options.bare_tenant);
	free(cache);
}

void cache_of_one_lack(struct cache_of_one *cache, int number)
{
	cache->lack = number;
}

void cache_of_one_cut(struct cache_of_one *cache, uint64_t length)
{
	cache->is_cut = true;
	cache->cut = length;
	cache->lack = EIO;
}

/* --- waiting --- */

struct waiting {
	struct entry_wait wait; /* first */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool over;
	int r;
};

static void on_done(struct entry_wait *wait, int r)
{
	struct waiting *w = (struct waiting *)wait;
	pthread_mutex_lock(&w->lock);
	CHECK(!w->over);
	w->over = true;
	w->r = r;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

#define WAITING {.wait.done = on_done, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}

static bool is_lack(const struct cache_of_one *cache, int r)
{
	return cache->lack && r == -cache->lack;
}

static int peel_to(const struct cache_of_one *cache, struct entry *entry, enum level level)
{
	struct waiting w = WAITING;
	if (entry_reached(entry, level))
		return 0;
	entry_peel(entry, level, &w.wait);
	pthread_mutex_lock(&w.lock);
	while (!w.over)
		pthread_cond_wait(&w.changed, &w.lock);
	pthread_mutex_unlock(&w.lock);
	CHECK(is_lack(cache, w.r) || (w.r == 0 && entry_reached(entry, level)));
	return w.r;
}

static bool is_over(struct waiting *w)
{
	pthread_mutex_lock(&w->lock);
	bool over = w->over;
	pthread_mutex_unlock(&w->lock);
	return over;
}

/* NULL: something is lacking. */
static struct entry *find(struct cache_of_one *cache)
{
	struct entry *entry = NULL;
	int r = entries_find(cache->entries, &cache->key, false, NULL, &entry);
	CHECK(r == 0 || is_lack(cache, r));
	return entry;
}

/* Waits until a fetch is under way, if there will be one, or (`begun` false) none is any more. */
static void await_fetch(struct cache_of_one *cache, struct waiting *w, bool begun)
{
	const int64_t since = clock_ms();
	while ((cache->fetching > 0) != begun && !(begun && is_over(w)))
		CHECK(clock_ms() - since < ENDS_MS && sched_yield() == 0);
}

void cache_of_one_interrupt(struct cache_of_one *cache)
{
	struct waiting w = WAITING;
	struct entry *entry = find(cache);
	const bool fetches = !storage_is_whole(entry_stored(entry)->value.storage);
	cache->slow = true;
	entry_peel(entry, LEVEL_RENDERING(RENDERING_JSON), &w.wait);
	if (fetches)
		await_fetch(cache, &w, true);
	if (!entry_peel_cancel(entry, &w.wait))
		while (!is_over(&w))
			sched_yield();
	await_fetch(cache, &w, false);
	cache->slow = false;
	entry_unref(entry);
}

/* --- views --- */

/* What can be wrong with an entry. All else is no property of it. */
static bool is_verdict(int r)
{
	return r == -ENOENT || r == -EUCLEAN || r == -EBADMSG || r == -EFBIG || r == -EOPNOTSUPP || r == -ENOKEY;
}

/* As fs/fuse/lookup.c. */
static void look_up(const struct cache_of_one *cache, const struct view *view, struct entry *entry, struct shown *ret)
{
	enum level level = view->size_level;
	int r = peel_to(cache, entry, level);
	if (r == 0 && !view->shows_failing)
		r = view->status(entry, level, &ret->reason);
	if (view_check_tells_more(entry, level, r)) {
		level = LEVEL_CHECKED;
		r = peel_to(cache, entry, level);
		if (r == 0)
			r = view->status(entry, level, &ret->reason);
	}
	if (r == 0)
		r = view_size(view, entry, &ret->size);
	CHECK(r == 0 || is_verdict(r) || is_lack(cache, r));
	ret->lookup = ret->open = r;
}

/* What the kernel would ask for, in pieces of n bytes: where it lies in memory, or by reading. 0; -EIO of a file that was cut. */
static int read_content(const struct content *content, size_t n, struct buf *ret)
{
	const uint64_t size = content_size(content);
	uint8_t piece[4096];
	int r = 0;
	for (uint64_t at = 0; r == 0 && at < size; at += n) {
		struct slice window;
		if (n > size - at)
			n = (size_t)(size - at);
		r = content_read(content, at, piece, n);
		if (r == 0 && content_in_memory(content, at, n, &window)) {
			CHECK(memcmp(slice_memory(&window), piece, n) == 0);
			slice_done(&window);
		}
		buf_put(ret, piece, n);
	}
	CHECK(content_read(content, size, piece, 1) == -ERANGE);
	return r;
}

/* As fs/fuse/file.c. */
static void open_and_read(const struct cache_of_one *cache, const struct view *view, struct entry *entry, struct shown *ret)
{
	struct content content = {0};
	ret->reason = NULL;
	int r = peel_to(cache, entry, view->open_level);
	if (r == 0)
		r = view->status(entry, view->open_level, &ret->reason);
	if (r == 0)
		r = view->content(entry, &content);
	if (r == 0) {
		CHECK(view->afresh || content_size(&content) == ret->size);
		r = read_content(&content, 4096, &ret->bytes);
		content_done(&content);
	}
	if (r == 0 && ret->bytes.failed)
		r = -ENOMEM;
	CHECK(r == 0 || is_verdict(r) || is_lack(cache, r));
	ret->open = r;
}

static void put_attributes(const struct cache_of_one *cache, struct entry *entry, struct buf *ret)
{
	if (peel_to(cache, entry, LEVEL_DOCUMENT) < 0)
		return;
	for (unsigned i = 0; i < ATTRIBUTE_COUNT; i++) {
		struct buf value = {0};
		CHECK(attribute_find(attribute_name(i)) == i);
		if (attribute_get(i, entry, &value)) {
			buf_printf(ret, "%s=", attribute_name(i));
			buf_put(ret, value.p, value.length);
			buf_put(ret, "", 1);
		}
		buf_done(&value);
	}
}

/* Small content has no other place than memory, and neither has what is secret: what an entry holds of it is not bounded by cache_size. */
static void check_memory(const struct cache_of_one *cache)
{
	const uint64_t small = 5 * (SPOOL_SMALL + 4096);
	if (!(cache->value->settings & SETTING_KEYRING))
		CHECK(entries_decoded_bytes(cache->entries) <= cache->options.cache_size + small);
}

static void peel_view(struct cache_of_one *cache, unsigned number, struct shown *ret)
{
	struct entry *entry = find(cache);
	*ret = (struct shown){.lookup = -cache->lack, .open = -cache->lack};
	if (!entry)
		return;
	look_up(cache, views[number], entry, ret);
	check_memory(cache);
	if (ret->lookup == 0)
		open_and_read(cache, views[number], entry, ret);
	check_memory(cache);
	entry_unref(entry);
}

void cache_of_one_peel(struct cache_of_one *cache, unsigned first, struct peeled *ret)
{
	struct shown meta;
	*ret = (struct peeled){0};
	for (unsigned i = 0; i < VIEW_COUNT; i++)
		peel_view(cache, (first + i) % VIEW_COUNT, &ret->views[(first + i) % VIEW_COUNT]);
	peel_view(cache, VIEW_META, &meta);
	ret->meta = meta.bytes;
	struct entry *entry = find(cache);
	if (entry)
		put_attributes(cache, entry, &ret->attributes);
	entry_unref(entry);
}

void peeled_done(struct peeled *peeled)
{
	for (unsigned i = 0; i < VIEW_COUNT; i++)
		buf_done(&peeled->views[i].bytes);
	buf_done(&peeled->attributes);
	buf_done(&peeled->meta);
}

/* --- listings --- */

static int list(struct cache_of_one *cache, const struct view *view, bool *ret_has_size, uint64_t *ret_size)
{
	struct listed listed = {0};
	struct entry *entry;
	CHECK(key_copy(&cache->key, &listed.key) == 0);
	describe(cache, !cache->backend.ops->remote, &listed.stored);
	CHECK(entries_listed(cache->entries, &listed, &entry) == 0);
	int r = view_look(view, entry, NULL, ret_has_size, ret_size);
	entry_unref(entry);
	return r;
}

void cache_of_one_list(struct cache_of_one *cache, const struct peeled *peeled)
{
	for (unsigned i = 0; i < VIEW_COUNT; i++) {
		const struct shown *shown = &peeled->views[i];
		bool has_size = false;
		uint64_t size = 0;
		int r = list(cache, views[i], &has_size, &size);
		CHECK(r == 0 || r == 1);
		/* What opens is listed, but for what no key fits; and what is listed with a size has that one. */
		CHECK(r == 1 || shown->open < 0 || cache->value->sealed || (cache->value->settings & SETTING_KEYRING));
		CHECK(r == 1 || !view_shows_all(views[i]));
		CHECK(!has_size || shown->lookup < 0 || size == shown->size);
	}
}
