/*
 * fuse-probe: a mount without a kernel, for tests/unit/test_fuse_requests.py. The operations of fs/fuse are real, and so are entries and views; the
 * backend does what it is told, and replies are recorded.
 *
 * Started with "local" or "remote" and the number of threads that take requests. Commands come on stdin, one a line. Each is answered by one line
 * of JSON.
 *
 *   put KEY VERSION EXPIRES HEX    the backend has this version of a key (EXPIRES: unix seconds, 0 never)
 *   remove KEY                     … and no more
 *   fail POINT ERRNO               calls of the backend at this point fail (0: no more)
 *   hold POINT | deafen POINT      … wait; those of a deafened one do not hear that they are cancelled
 *   go POINT                       … go on
 *   calls POINT | waiting POINT    so many were made at this point, or wait there
 *
 *   [early|gone|poor|paired] OPERATION …  a request, on a thread of its own. Its number is the answer. early: it is interrupted before it starts;
 *                                  gone: its caller is, when it is answered; poor: the first memory it asks for is not to be had; paired: it
 *                                  begins together with the next one that is
 *     lookup PARENT NAME, forget INO N, getattr INO, open INO, read NUMBER, release NUMBER (of the open), getxattr INO NAME, listxattr INO,
 *     opendir INO, readdir NUMBER OFFSET, readdirplus NUMBER OFFSET, releasedir NUMBER (of the opendir), statfs,
 *     create PARENT NAME, openw INO (to write, and truncate), openp INO (to write over a part), write NUMBER TEXT (of the open, at its beginning),
 *     flush NUMBER, fsync NUMBER,
 *     unlink PARENT NAME, setxattr INO EXPIRES, truncate INO LENGTH (by a path, without the open)
 *   interrupt NUMBER               as libfuse does
 *   reply NUMBER                   waits for the reply; null if there is none for two seconds
 *   returned NUMBER                waits until its thread has come back
 *   counts                         inodes, open files, promises
 *   outdated                       the inode whose attributes the kernel was told to ask for again
 *   late                           what the process with privileges (order.h) is told to do next, after an order that it has answered too late: the
 *                                  outcome of the late one, of the next one, and what that is to be
 *   pools                          ends pools of threads that are about to grow
 *   stop                           the mount ends, as with SIGTERM
 *   end                            ends the probe, which exits with 1 when a request was not answered exactly once, or touched after its answer
 */
#include "probe_pool.h"

#include "fs/fuse/mount.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/order.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REQUESTS_MAX 512
#define KEYS_MAX 16
#define REPLY_MS 2000
#define TICK_NS 5000000

/* The value's bytes that a remote backend finds at first. */
#define HEAD 512

/* --- requests, as libfuse has them --- */

struct fuse_req {
	pthread_mutex_t lock; /* held while an interrupt is handled */
	fuse_interrupt_func_t on_interrupt;
	void *interrupt_data;
	bool interrupted;

	bool gone; /* its caller, when it is answered */
	bool poor;
	bool paired;
	char command[256];
	pthread_t thread;
	struct fuse_file_info file; /* of an open or opendir */
	/* protected by `lock` of the probe */
	bool returned;
	unsigned replies;
	char *reply; /* JSON */
	size_t reply_length;
};

static struct mount mount_;
static struct fuse_req reqs[REQUESTS_MAX];
static unsigned req_count;

/* Of the probe: what was replied, the backend, faults. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool faulty;

static void tick(void)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += TICK_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&changed, &lock, &until);
}

static void fault(const struct fuse_req *req, const char *what)
{
	fprintf(stderr, "fuse-probe: \"%s\": %s\n", req->command, what);
	faulty = true;
}

/* --- memory --- */

static _Thread_local bool lacks_memory;

/* The linker puts it in place of malloc(). */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	bool lacks = lacks_memory;
	lacks_memory = false;
	return lacks ? NULL : __real_malloc(size);
}

/* --- replies --- */

/* The request whose interrupt this thread handles. */
static _Thread_local const struct fuse_req *interrupted;

/* Begins a reply: the JSON is written to it, and replied() ends it. */
static FILE *reply_to(struct fuse_req *req)
{
	pthread_mutex_lock(&lock);
	if (req->replies++ > 0)
		fault(req, "a second reply");
	if (req->on_interrupt && interrupted != req)
		fault(req, "answered while it hears of interrupts");
	free(steal(req->reply));
	return open_memstream(&req->reply, &req->reply_length);
}

static int replied(struct fuse_req *req, FILE *reply)
{
	fclose(reply);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return req->gone ? -ENOENT : 0;
}

static int on_err(fuse_req_t req, int error)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"error\": \"%s\"}", error ? strerrorname_np(error) : "0");
	return replied(req, to);
}

static void on_none(fuse_req_t req)
{
	FILE *to = reply_to(req);
	fputs("{}", to);
	replied(req, to);
}

static int on_entry(fuse_req_t req, const struct fuse_entry_param *e)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"ino\": %llu, \"size\": %lld, \"entry_timeout\": %g}", (unsigned long long)e->ino, (long long)e->attr.st_size, e->entry_timeout);
	return replied(req, to);
}

static int on_attr(fuse_req_t req, const struct stat *attr, double seconds)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"size\": %lld, \"attr_timeout\": %g}", (long long)attr->st_size, seconds);
	return replied(req, to);
}

static int on_open(fuse_req_t req, const struct fuse_file_info *file)
{
	FILE *to = reply_to(req);
	req->file = *file;
	fputs("{\"open\": true}", to);
	return replied(req, to);
}

static int on_create(fuse_req_t req, const struct fuse_entry_param *e, const struct fuse_file_info *file)
{
	FILE *to = reply_to(req);
	req->file = *file;
	fprintf(to, "{\"ino\": %llu, \"open\": true}", (unsigned long long)e->ino);
	return replied(req, to);
}

static int on_write(fuse_req_t req, size_t n)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"written\": %zu}", n);
	return replied(req, to);
}

/* The lines of a READDIRPLUS, or the bytes of any other. */
static int on_buf(fuse_req_t req, const char *bytes, size_t n)
{
	FILE *to = reply_to(req);
	if (strncmp(req->command, "readdirplus ", 12) != 0) {
		fputs("{\"hex\": \"", to);
		for (size_t i = 0; i < n; i++)
			fprintf(to, "%02x", (unsigned char)bytes[i]);
		fputs("\"}", to);
		return replied(req, to);
	}
	fputs("{\"lines\": {", to);
	for (size_t at = 0; at < n;) {
		struct fuse_direntplus line;
		memcpy(&line, bytes + at, sizeof line);
		fprintf(to, "%s\"%.*s\": %llu", at ? ", " : "", (int)line.dirent.namelen, bytes + at + FUSE_NAME_OFFSET_DIRENTPLUS,
			(unsigned long long)line.entry_out.nodeid);
		at += FUSE_DIRENTPLUS_SIZE(&line);
	}
	fputs("}}", to);
	return replied(req, to);
}

static int on_xattr(fuse_req_t req, size_t n)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"length\": %zu}", n);
	return replied(req, to);
}

static int on_statfs(fuse_req_t req, const struct statvfs *st)
{
	FILE *to = reply_to(req);
	fprintf(to, "{\"blocks\": %llu}", (unsigned long long)st->f_blocks);
	return replied(req, to);
}

/* req->lock is held. */
static void handle_interrupt(struct fuse_req *req)
{
	interrupted = req;
	if (req->on_interrupt)
		req->on_interrupt(req, req->interrupt_data);
	interrupted = NULL;
}

static void set_on_interrupt(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	pthread_mutex_lock(&req->lock);
	pthread_mutex_lock(&lock);
	if (req->replies > 0)
		fault(req, "touched after its reply");
	pthread_mutex_unlock(&lock);
	req->on_interrupt = func;
	req->interrupt_data = data;
	if (req->interrupted)
		handle_interrupt(req);
	pthread_mutex_unlock(&req->lock);
}

static void interrupt(struct fuse_req *req)
{
	pthread_mutex_lock(&req->lock);
	pthread_mutex_lock(&lock);
	bool answered = req->replies > 0;
	pthread_mutex_unlock(&lock);
	/* libfuse does not find one that was answered. */
	if (!answered) {
		req->interrupted = true;
		handle_interrupt(req);
	}
	pthread_mutex_unlock(&req->lock);
}

static int no_store(struct fuse_session *session, fuse_ino_t ino, off_t offset, struct fuse_bufvec *pages, enum fuse_buf_copy_flags flags)
{
	(void)session;
	(void)ino;
	(void)offset;
	(void)pages;
	(void)flags;
	return 0;
}

/* Of the attributes that the kernel was to ask for again, the last. */
static atomic_uint_least64_t outdated;

static int note_outdated(struct fuse_session *session, fuse_ino_t ino, off_t offset, off_t n)
{
	(void)session;
	(void)n;
	if (offset < 0)
		outdated = ino;
	return 0;
}

static const struct reply_ops replies = {
	.err = on_err,
	.none = on_none,
	.entry = on_entry,
	.attr = on_attr,
	.open = on_open,
	.buf = on_buf,
	.xattr = on_xattr,
	.statfs = on_statfs,
	.on_interrupt = set_on_interrupt,
	.create = on_create,
	.write = on_write,
	.store = no_store,
	.inval = note_outdated,
};

/* --- the backend --- */

static const char *const points[] = {"find", "fetch", "expires", "list", "next", "statfs", "put", "remove", "expire"};
enum { FIND, FETCH, EXPIRES, LIST, NEXT, STATFS, PUT, REMOVE, EXPIRE, POINTS };

/* All of it is protected by `lock`. */
static struct {
	struct backend backend; /* first */
	bool stopped;
	struct {
		bool held, deaf;
		int error;
		unsigned calls, waiting;
	} at[POINTS];
	struct {
		struct key key; /* text NULL: none */
		unsigned version;
		int64_t expires;
		struct slice value;
	} keys[KEYS_MAX];
} scripted;

struct scripted_cursor {
	struct cursor cursor; /* first */
	unsigned next;
};

/* Takes `lock`, which the caller lets go of. 0, -errno as the script has it. */
static int pass(unsigned point, const atomic_bool *cancel)
{
	pthread_mutex_lock(&lock);
	scripted.at[point].calls++;
	scripted.at[point].waiting++;
	bool cancelled = false;
	while (scripted.at[point].held && !scripted.stopped && !cancelled) {
		cancelled = cancel && *cancel && !scripted.at[point].deaf;
		tick();
	}
	scripted.at[point].waiting--;
	return cancelled || scripted.stopped ? -EINTR : -scripted.at[point].error;
}

static unsigned find_key(const struct key *key)
{
	unsigned i = 0;
	while (i < KEYS_MAX && !(scripted.keys[i].key.text && key_hash_equal(&scripted.keys[i].key.hash, &key->hash)))
		i++;
	return i;
}

static void version_of(unsigned i, struct version *ret)
{
	memset(ret, 0, sizeof *ret);
	memcpy(ret->id, &scripted.keys[i].version, sizeof scripted.keys[i].version);
}

/* 0, -ENOMEM. */
static int describe(unsigned i, bool whole, struct stored *ret)
{
	const struct slice *value = &scripted.keys[i].value;
	*ret = (struct stored){.size = value->length, .expires = scripted.keys[i].expires, .written.tv_sec = scripted.keys[i].version};
	version_of(i, &ret->version);
	if (whole || value->length <= HEAD) {
		slice_copy(value, &ret->value);
		return 0;
	}
	struct storage *storage;
	int r = storage_new_partial(slice_memory(value), HEAD, &storage);
	if (r < 0)
		return r;
	slice_new(storage, 0, value->length, &ret->value);
	storage_unref(storage);
	return 0;
}

static int scripted_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel, struct stored *ret)
{
	(void)spool;
	int r = pass(FIND, cancel);
	unsigned i = find_key(key);
	if (r == 0)
		r = i == KEYS_MAX ? -ENOENT : describe(i, whole || !backend->ops->remote, ret);
	pthread_mutex_unlock(&lock);
	return r;
}

static int scripted_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool, const atomic_bool *cancel,
	struct slice *ret)
{
	(void)backend;
	(void)spool;
	struct version version;
	int r = pass(FETCH, cancel);
	unsigned i = find_key(key);
	if (r == 0 && i < KEYS_MAX)
		version_of(i, &version);
	if (r == 0 && (i == KEYS_MAX || !version_equal(&version, &stored->version)))
		r = -ESTALE;
	if (r == 0)
		slice_copy(&scripted.keys[i].value, ret);
	pthread_mutex_unlock(&lock);
	return r;
}

static int scripted_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret)
{
	(void)backend;
	(void)stored;
	int r = pass(EXPIRES, NULL);
	unsigned i = find_key(key);
	if (r == 0 && i == KEYS_MAX)
		r = -ESTALE;
	if (r == 0)
		*ret = scripted.keys[i].expires;
	pthread_mutex_unlock(&lock);
	return r;
}

static int scripted_list(struct backend *backend, struct cursor **ret)
{
	struct scripted_cursor *cursor = calloc(1, sizeof *cursor);
	int r = pass(LIST, NULL);
	pthread_mutex_unlock(&lock);
	if (r < 0 || !cursor) {
		free(cursor);
		return r < 0 ? r : -ENOMEM;
	}
	cursor->cursor.ops = backend->ops;
	*ret = &cursor->cursor;
	return 0;
}

static int scripted_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret)
{
	unsigned *next = &((struct scripted_cursor *)cursor)->next;
	(void)value;
	int r = pass(NEXT, cancel);
	while (*next < KEYS_MAX && !scripted.keys[*next].key.text)
		(*next)++;
	if (r == 0 && *next < KEYS_MAX) {
		*ret = (struct listed){.stored.size = 0};
		r = key_copy(&scripted.keys[*next].key, &ret->key);
		if (r == 0)
			r = describe((*next)++, true, &ret->stored);
		r = r < 0 ? r : 1;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

static void scripted_list_end(struct cursor *cursor)
{
	free(cursor);
}

static int scripted_changed(struct backend *backend, struct timespec *ret)
{
	(void)backend;
	*ret = (struct timespec){0};
	return 0;
}

static int scripted_statfs(struct backend *backend, struct statvfs *ret)
{
	(void)backend;
	int r = pass(STATFS, NULL);
	pthread_mutex_unlock(&lock);
	if (r == 0)
		*ret = (struct statvfs){.f_blocks = 7};
	return r;
}

static unsigned place_for(const struct key *key)
{
	unsigned i = find_key(key);
	for (unsigned free_one = 0; i == KEYS_MAX; free_one++)
		if (!scripted.keys[free_one].key.text)
			i = free_one;
	return i;
}

static void remove_at(unsigned i)
{
	key_done(&scripted.keys[i].key);
	slice_done(&scripted.keys[i].value);
}

static int scripted_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel)
{
	static unsigned version = 1000;
	(void)backend;
	int r = pass(PUT, cancel);
	unsigned i = place_for(key);
	if (r == 0) {
		remove_at(i);
		r = key_copy(key, &scripted.keys[i].key);
	}
	static uint8_t bytes[1 << 16];
	if (r == 0)
		r = slice_read(value, 0, bytes, (size_t)value->length);
	/* Its own: what was written is counted in the mount's spool, and may be gone. */
	if (r == 0)
		r = slice_new_copy(bytes, (size_t)value->length, &scripted.keys[i].value);
	if (r == 0) {
		scripted.keys[i].version = version++;
		scripted.keys[i].expires = lifetime->is_set ? lifetime->expires : 0;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

static int scripted_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel)
{
	(void)backend;
	int r = pass(REMOVE, cancel);
	unsigned i = find_key(key);
	if (r == 0 && i == KEYS_MAX)
		r = -ENOENT;
	if (r == 0)
		remove_at(i);
	pthread_mutex_unlock(&lock);
	return r;
}

static int scripted_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel)
{
	(void)backend;
	int r = pass(EXPIRE, cancel);
	unsigned i = find_key(key);
	if (r == 0 && i == KEYS_MAX)
		r = -ENOENT;
	if (r == 0)
		scripted.keys[i].expires = expires;
	pthread_mutex_unlock(&lock);
	return r;
}

static void scripted_stop(struct backend *backend)
{
	(void)backend;
	pthread_mutex_lock(&lock);
	scripted.stopped = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static struct backend_ops scripted_ops = {
	.name = "scripted",
	.stores_keys = true,
	.find = scripted_find,
	.fetch = scripted_fetch,
	.expires = scripted_expires,
	.list = scripted_list,
	.next = scripted_next,
	.list_end = scripted_list_end,
	.changed = scripted_changed,
	.statfs = scripted_statfs,
	.put = scripted_put,
	.remove = scripted_remove,
	.expire = scripted_expire,
};

/* --- requests begin --- */

static struct fuse_file_info *file_of(const char *number)
{
	return &reqs[strtoul(number, NULL, 10) % REQUESTS_MAX].file;
}

/* Calls the operation. False: there is none of that name. */
static bool call(struct fuse_req *req, const char *name, const char *first, const char *second)
{
	struct mount *m = &mount_;
	const fuse_ino_t ino = strtoul(first, NULL, 10);
	const off_t offset = (off_t)strtoul(second, NULL, 10);
	struct fuse_file_info file = {.flags = strcmp(name, "create") == 0 ? O_WRONLY | O_CREAT : O_RDONLY}, to_write = {.flags = O_WRONLY | (strcmp(name, "openw") == 0 ? O_TRUNC : 0)};
	if (strcmp(name, "lookup") == 0)
		ckfs_lookup(m, req, ino, second);
	else if (strcmp(name, "forget") == 0)
		ckfs_forget(m, req, ino, (uint64_t)offset);
	else if (strcmp(name, "getattr") == 0)
		ckfs_getattr(m, req, ino, NULL);
	else if (strcmp(name, "open") == 0)
		ckfs_open(m, req, ino, &file);
	else if (strcmp(name, "read") == 0)
		ckfs_read(m, req, ino, 1 << 12, 0, file_of(first));
	else if (strcmp(name, "release") == 0)
		ckfs_release(m, req, ino, file_of(first));
	else if (strcmp(name, "getxattr") == 0)
		ckfs_getxattr(m, req, ino, second, 1 << 10);
	else if (strcmp(name, "listxattr") == 0)
		ckfs_listxattr(m, req, ino, 1 << 10);
	else if (strcmp(name, "opendir") == 0)
		ckfs_opendir(m, req, ino, &file);
	else if (strcmp(name, "readdir") == 0)
		ckfs_readdir(m, req, ino, 1 << 12, offset, file_of(first));
	else if (strcmp(name, "readdirplus") == 0)
		ckfs_readdirplus(m, req, ino, 1 << 12, offset, file_of(first));
	else if (strcmp(name, "releasedir") == 0)
		ckfs_releasedir(m, req, ino, file_of(first));
	else if (strcmp(name, "statfs") == 0)
		ckfs_statfs(m, req, ino);
	else if (strcmp(name, "create") == 0)
		ckfs_create(m, req, ino, second, 0600, &file);
	else if (strcmp(name, "openw") == 0 || strcmp(name, "openp") == 0)
		ckfs_open(m, req, ino, &to_write);
	else if (strcmp(name, "write") == 0)
		ckfs_write(m, req, 0, second, strlen(second), 0, file_of(first));
	else if (strcmp(name, "flush") == 0)
		ckfs_flush(m, req, 0, file_of(first));
	else if (strcmp(name, "fsync") == 0)
		ckfs_fsync(m, req, 0, 0, file_of(first));
	else if (strcmp(name, "unlink") == 0)
		ckfs_unlink(m, req, ino, second);
	else if (strcmp(name, "truncate") == 0)
		ckfs_setattr(m, req, ino, &(struct stat){.st_size = offset}, FUSE_SET_ATTR_SIZE, NULL);
	else if (strcmp(name, "setxattr") == 0)
		ckfs_setxattr(m, req, ino, "user.ckfs.expires", second, strlen(second), 0);
	else
		return false;
	return true;
}

/* So much later the second of a pair begins, in spins: each pair tries another moment. */
#define LATER 128
#define SPINS 96

/* Waits without sleeping. */
static void await_pair(void)
{
	static atomic_uint begun;
	const unsigned mine = atomic_fetch_add(&begun, 1);
	while (begun <= (mine | 1))
		;
	for (atomic_uint i = mine % 2 ? mine / 2 % LATER * SPINS : 0; i > 0; i--)
		;
}

static void *req_thread(void *arg)
{
	struct fuse_req *req = arg;
	char name[32] = "", first[32] = "", second[192] = "";
	sscanf(req->command, "%31s %31s %191s", name, first, second);
	lacks_memory = req->poor;
	if (req->paired)
		await_pair();
	if (!call(req, name, first, second))
		fault(req, "no such command");
	pthread_mutex_lock(&lock);
	req->returned = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void start(const char *command)
{
	struct fuse_req *req = &reqs[req_count];
	pthread_mutex_init(&req->lock, NULL);
	req->interrupted = strncmp(command, "early ", 6) == 0;
	req->gone = strncmp(command, "gone ", 5) == 0;
	req->poor = strncmp(command, "poor ", 5) == 0;
	req->paired = strncmp(command, "paired ", 7) == 0;
	if (req->interrupted || req->gone || req->poor || req->paired)
		command = strchr(command, ' ') + 1;
	snprintf(req->command, sizeof req->command, "%.255s", command);
	if (req_count == REQUESTS_MAX - 1 || pthread_create(&req->thread, NULL, req_thread, req) != 0)
		abort();
	printf("%u\n", req_count++);
}

/* --- commands --- */

static void put(const char *text, unsigned version, long long expires, const char *hex)
{
	static uint8_t bytes[1 << 16];
	size_t n = 0;
	for (unsigned byte; n < sizeof bytes && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		bytes[n] = (uint8_t)byte;
	struct key key;
	if (key_from_text(text, strlen(text), &key) < 0)
		abort();
	pthread_mutex_lock(&lock);
	unsigned i = place_for(&key);
	remove_at(i);
	scripted.keys[i].key = key;
	scripted.keys[i].version = version;
	scripted.keys[i].expires = expires;
	if (slice_new_copy(bytes, n, &scripted.keys[i].value) < 0)
		abort();
	pthread_mutex_unlock(&lock);
}

static void remove_key(const char *text)
{
	struct key key;
	if (key_from_text(text, strlen(text), &key) < 0)
		abort();
	pthread_mutex_lock(&lock);
	unsigned i = find_key(&key);
	if (i < KEYS_MAX)
		remove_at(i);
	pthread_mutex_unlock(&lock);
	key_done(&key);
}

static unsigned point_of(const char *name)
{
	for (unsigned i = 0; i < POINTS; i++)
		if (strcmp(points[i], name) == 0)
			return i;
	abort();
}

static void set_point(const char *name, bool held, bool deaf, int error)
{
	unsigned point = point_of(name);
	pthread_mutex_lock(&lock);
	scripted.at[point].held = held;
	scripted.at[point].deaf = deaf;
	scripted.at[point].error = error;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void print_calls(unsigned point, bool waiting)
{
	pthread_mutex_lock(&lock);
	printf("%u\n", waiting ? scripted.at[point].waiting : scripted.at[point].calls);
	pthread_mutex_unlock(&lock);
}

static void await_reply(const struct fuse_req *req)
{
	int64_t end = clock_ms() + REPLY_MS;
	pthread_mutex_lock(&lock);
	while (req->replies == 0 && clock_ms() < end)
		tick();
	puts(req->replies > 0 ? req->reply : "null");
	pthread_mutex_unlock(&lock);
}

static void await_return(const struct fuse_req *req)
{
	int64_t end = clock_ms() + REPLY_MS;
	pthread_mutex_lock(&lock);
	while (!req->returned && clock_ms() < end)
		tick();
	puts(req->returned ? "true" : "false");
	pthread_mutex_unlock(&lock);
}

static void print_counts(void)
{
	struct mount *m = &mount_;
	pthread_mutex_lock(&m->retries.promises.lock);
	unsigned promises = m->retries.promises.count;
	pthread_mutex_unlock(&m->retries.promises.lock);
	printf("{\"inodes\": %zu, \"open_files\": %lld, \"promises\": %u}\n", inodes_count(m->inodes), (long long)m->stats.open_files, promises);
}

/* Answers each order with its number. */
static void *obey(void *socket)
{
	struct order order;
	while (order_take(*(int *)socket, &order) == 0)
		order_answer(*(int *)socket, &order, order.number);
	return NULL;
}

static void print_late(void)
{
	int sockets[2], number = 5, next;
	pthread_t other;
	if (order_sockets(sockets) < 0)
		abort();
	int late = order_give(sockets[0], &(struct order){.kind = ORDER_UNBACK, .number = number, .connection = -1, .content = -1});
	if (pthread_create(&other, NULL, obey, &sockets[1]) != 0)
		abort();
	do
		next = order_give(sockets[0], &(struct order){.kind = ORDER_BACK, .number = ++number, .connection = -1, .content = -1});
	while (next == -ETIMEDOUT);
	printf("[\"%s\", %d, %d]\n", strerrorname_np(-late), next, number);
	close(sockets[0]);
	pthread_join(other, NULL);
	close(sockets[1]);
}

static void stop(void)
{
	requests_stop(&mount_);
	backend_stop(mount_.backend);
	entries_stop(mount_.entries);
}

/* Runs a command that is no operation. False: it is one. */
static bool run(const char *line)
{
	static char value[1 << 17];
	char name[32] = "", text[192] = "";
	long long number = 0, expires = 0;
	sscanf(line, "%31s %191s %lld", name, text, &number);
	struct fuse_req *req = &reqs[strtoul(text, NULL, 10) % REQUESTS_MAX];
	if (strcmp(name, "reply") == 0) {
		await_reply(req);
		return true;
	}
	if (strcmp(name, "returned") == 0) {
		await_return(req);
		return true;
	}
	if (strcmp(name, "outdated") == 0) {
		printf("%llu\n", (unsigned long long)outdated);
		return true;
	}
	if (strcmp(name, "late") == 0) {
		print_late();
		return true;
	}
	if (strcmp(name, "counts") == 0) {
		print_counts();
		return true;
	}
	if (strcmp(name, "calls") == 0 || strcmp(name, "waiting") == 0) {
		print_calls(point_of(text), *name == 'w');
		return true;
	}
	if (strcmp(name, "put") == 0 && sscanf(line, "%*s %*s %*s %lld %131071s", &expires, value) == 2)
		put(text, (unsigned)number, expires, value);
	else if (strcmp(name, "remove") == 0)
		remove_key(text);
	else if (strcmp(name, "fail") == 0)
		set_point(text, false, false, (int)number);
	else if (strcmp(name, "hold") == 0 || strcmp(name, "deafen") == 0)
		set_point(text, true, *name == 'd', 0);
	else if (strcmp(name, "go") == 0)
		set_point(text, false, false, 0);
	else if (strcmp(name, "interrupt") == 0)
		interrupt(req);
	else if (strcmp(name, "pools") == 0)
		probe_pools();
	else if (strcmp(name, "stop") == 0)
		stop();
	else
		return false;
	puts("null");
	return true;
}

/* --- the beginning and the end --- */

static void begin(bool remote, unsigned max_threads)
{
	static char directory[] = "/var/tmp";
	static struct options options;
	struct mount *m = &mount_;
	options = (struct options){.spool_dir = directory, .cache_size = 64 << 20, .max_threads = max_threads, .listed_ttl = 60, .timeout = 10, .write = true,
		.unchecked = true};
	scripted_ops.remote = remote;
	scripted_ops.stop = remote ? scripted_stop : NULL;
	scripted.backend.ops = &scripted_ops;
	*m = (struct mount){.options = &options, .reply = &replies, .backend = &scripted.backend, .ready_fd = -1, .readahead_kb = -1,
		.timeouts.lock = PTHREAD_MUTEX_INITIALIZER, .lacks.lock = PTHREAD_MUTEX_INITIALIZER, .handles.lock = PTHREAD_MUTEX_INITIALIZER,
		.requests.lock = PTHREAD_MUTEX_INITIALIZER};
	retries_init(&m->retries);
	int r = known_keys_new(&m->known);
	if (r == 0)
		r = entries_new(&(struct entries_parts){.options = &options, .backend = m->backend, .known = m->known, .stats = &m->stats}, &m->entries);
	if (r == 0)
		r = inodes_new(&m->inodes);
	if (r == 0 && remote)
		r = work_pool_new(WAITER_THREADS, &m->waiters);
	if (r == 0)
		r = work_pool_new(LISTER_THREADS, &m->listers);
	if (r == 0)
		r = work_pool_new(STORER_THREADS, &m->storers);
	if (r < 0)
		abort();
}

static void end(void)
{
	struct mount *m = &mount_;
	for (unsigned point = 0; point < POINTS; point++)
		set_point(points[point], false, false, 0);
	for (unsigned i = 0; i < req_count; i++)
		pthread_join(reqs[i].thread, NULL);
	stop();
	work_pool_free(m->listers);
	work_pool_free(m->waiters);
	work_pool_free(m->storers);
	handles_free_all(&m->handles);
	retries_done(&m->retries);
	inodes_free(m->inodes);
	entries_free(m->entries);
	known_keys_free(m->known);
	for (unsigned i = 0; i < KEYS_MAX; i++)
		remove_at(i);
	for (unsigned i = 0; i < req_count; i++) {
		if (reqs[i].replies == 0)
			fault(&reqs[i], "no reply");
		free(reqs[i].reply);
	}
}

int main(int argc, char **argv)
{
	static char line[1 << 18];
	if (argc != 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	begin(strcmp(argv[1], "remote") == 0, (unsigned)strtoul(argv[2], NULL, 10));
	while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n") != 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!run(line))
			start(line);
	}
	end();
	return faulty ? 1 : 0;
}
