/*
 * fuse-probe: a mount without a kernel, for tests/support/fuse_mounts.py. The operations of fs/fuse are real, and so are entries and views; the
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
#include "fuse_probe.h"
#include "probe_pool.h"

#include "fs/fuse/operations.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REQUESTS_MAX 512
#define REPLY_MS 2000

static struct mount mount_;
static struct fuse_req reqs[REQUESTS_MAX];
static unsigned req_count;

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
		probe_fault(req, "no such command");
	pthread_mutex_lock(&probe_lock);
	req->returned = true;
	pthread_cond_broadcast(&probe_changed);
	pthread_mutex_unlock(&probe_lock);
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

static void await_reply(const struct fuse_req *req)
{
	int64_t end = clock_ms() + REPLY_MS;
	pthread_mutex_lock(&probe_lock);
	while (req->replies == 0 && clock_ms() < end)
		probe_tick();
	puts(req->replies > 0 ? req->reply : "null");
	pthread_mutex_unlock(&probe_lock);
}

static void await_return(const struct fuse_req *req)
{
	int64_t end = clock_ms() + REPLY_MS;
	pthread_mutex_lock(&probe_lock);
	while (!req->returned && clock_ms() < end)
		probe_tick();
	puts(req->returned ? "true" : "false");
	pthread_mutex_unlock(&probe_lock);
}

static void print_counts(void)
{
	struct mount *m = &mount_;
	pthread_mutex_lock(&m->retries.promises.lock);
	unsigned promises = m->retries.promises.count;
	pthread_mutex_unlock(&m->retries.promises.lock);
	printf("{\"inodes\": %zu, \"open_files\": %lld, \"promises\": %u}\n", inodes_count(m->inodes), (long long)m->stats.open_files, promises);
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
		printf("%llu\n", (unsigned long long)probe_outdated());
		return true;
	}
	if (strcmp(name, "late") == 0) {
		probe_late_order();
		return true;
	}
	if (strcmp(name, "counts") == 0) {
		print_counts();
		return true;
	}
	if (strcmp(name, "calls") == 0 || strcmp(name, "waiting") == 0) {
		printf("%u\n", scripted_calls(text, *name == 'w'));
		return true;
	}
	if (strcmp(name, "put") == 0 && sscanf(line, "%*s %*s %*s %lld %131071s", &expires, value) == 2)
		scripted_store(text, (unsigned)number, expires, value);
	else if (strcmp(name, "remove") == 0)
		scripted_forget(text);
	else if (strcmp(name, "fail") == 0)
		scripted_set(text, false, false, (int)number);
	else if (strcmp(name, "hold") == 0 || strcmp(name, "deafen") == 0)
		scripted_set(text, true, *name == 'd', 0);
	else if (strcmp(name, "go") == 0)
		scripted_set(text, false, false, 0);
	else if (strcmp(name, "interrupt") == 0)
		probe_interrupt(req);
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
	*m = (struct mount){.options = &options, .reply = &probe_replies, .backend = scripted_begin(remote), .ready_fd = -1, .readahead_kb = -1,
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
	scripted_let_go();
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
	scripted_end();
	for (unsigned i = 0; i < req_count; i++) {
		if (reqs[i].replies == 0)
			probe_fault(&reqs[i], "no reply");
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
	return probe_is_faulty() ? 1 : 0;
}
