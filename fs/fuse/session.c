/* A mount from its beginning to its end. */
#include "mount.h"

#include "buffers.h"
#include "mountpoint.h"
#include "parallel.h"
#include "signals.h"

#include "ckfs/cleanup.h"
#include "ckfs/inherited.h"
#include "ckfs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>
#include <xxhash.h>

/* Until the mount serves, the first thing libfuse has to say is the reason for a failure: it is kept for the one line. */
static struct {
	struct mount *m;
	struct error *error; /* NULL: the mount serves */
	bool complete;
} mounting;

/* A message comes in pieces; its last one ends the line. */
static void keep_message(const char *piece)
{
	char *text = mounting.error->text;
	size_t n = strlen(text);
	if (mounting.complete)
		return;
	if (n == 0 && strncmp(piece, "fuse: ", 6) == 0)
		piece += 6;
	size_t end = strcspn(piece, "\n");
	mounting.complete = piece[end] == '\n';
	snprintf(text + n, sizeof mounting.error->text - n, "%.*s", (int)end, piece);
}

static void on_fuse_log(enum fuse_log_level level, const char *format, va_list args)
{
	if (level == FUSE_LOG_DEBUG) {
		vfprintf(stderr, format, args);
		return;
	}
	char text[400];
	vsnprintf(text, sizeof text, format, args);
	if (mounting.error)
		keep_message(text);
	else if (lack_begins(&mounting.m->lacks, LACK_OF_LIBFUSE, (int)XXH32(text, strlen(text), 0), 0))
		log_line(LOG_WARNING, "%.*s", (int)strcspn(text, "\n"), text);
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	struct mount *m = userdata;
	/* A TTL refresh moves the file's mtime; it must not drop pages. */
	conn->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
	conn->want |= conn->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
	conn->max_readahead = BUFFER_SIZE;
	/* libfuse gives up when this is not what the mount was made with. */
	conn->max_read = m->options->max_read;
	parallel_init(m, conn);
	mounting.error = NULL;
	if (m->ready_fd < 0)
		return;

	/* The daemon serves from here on: whoever started it may go. */
	int nowhere = inherited_nowhere();
	bool keeps_stderr = m->options->has_log && m->options->log == LOG_TO_STDERR;
	for (int fd = 0; nowhere >= 0 && fd <= (keeps_stderr ? 1 : 2); fd++)
		dup2(nowhere, fd);
	if (nowhere >= 0)
		close(nowhere);
	ssize_t ignored = write(m->ready_fd, "", 1);
	(void)ignored;
	close(m->ready_fd);
	m->ready_fd = -1;
}

/*
 * Mostly the next request follows at once: an OPEN its LOOKUP, the LOOKUP of the next file a RELEASE. A thread that
 * looks out for it needs not be woken.
 */
static void await_next(struct mount *m)
{
	if (atomic_exchange(&m->awaits_next, true))
		return;
	busy_poll(&m->next_request, fuse_session_fd(m->session), POLLIN);
	atomic_store(&m->awaits_next, false);
}

#define THEN_AWAIT_NEXT(operation, parameters, ...) \
	static void operation##_and_next parameters \
	{ \
		struct mount *m = fuse_req_userdata(req); \
		ckfs_##operation(__VA_ARGS__); \
		await_next(m); \
	}

THEN_AWAIT_NEXT(lookup, (fuse_req_t req, fuse_ino_t parent, const char *name), req, parent, name)
THEN_AWAIT_NEXT(getattr, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
THEN_AWAIT_NEXT(open, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
THEN_AWAIT_NEXT(read, (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi), req, ino, size, off, fi)
THEN_AWAIT_NEXT(release, (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi), req, ino, fi)
THEN_AWAIT_NEXT(getxattr, (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size), req, ino, name, size)
THEN_AWAIT_NEXT(listxattr, (fuse_req_t req, fuse_ino_t ino, size_t size), req, ino, size)

static const struct fuse_lowlevel_ops operations = {
	.init = on_init,
	.lookup = lookup_and_next,
	.forget = ckfs_forget,
	.forget_multi = ckfs_forget_multi,
	.getattr = getattr_and_next,
	.statfs = ckfs_statfs,
	.open = open_and_next,
	.read = read_and_next,
	.release = release_and_next,
	.opendir = ckfs_opendir,
	.readdir = ckfs_readdir,
	.readdirplus = ckfs_readdirplus,
	.releasedir = ckfs_releasedir,
	.getxattr = getxattr_and_next,
	.listxattr = listxattr_and_next,
};

/* libfuse's arguments: ours first, the user's, and last what must not be changed. */
static int make_args(const struct options *o, const char *source, struct fuse_args *ret)
{
	cleanup_free char *ours = NULL;
	cleanup_free char *name = NULL;
	cleanup_free char *max_read = NULL;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int r = 0;
	if (asprintf(&name, "fsname=%s", source) < 0 || asprintf(&max_read, "max_read=%u", o->max_read) < 0)
		return -ENOMEM;
	r |= fuse_opt_add_opt(&ours, "subtype=ckfs");
	r |= fuse_opt_add_opt_escaped(&ours, name);
	if (o->max_read)
		r |= fuse_opt_add_opt(&ours, max_read);
	for (int i = 0; i < o->fuse_arg_count; i++) {
		r |= fuse_opt_add_arg(&args, o->fuse_args[i]);
		if (i == 0) {
			r |= fuse_opt_add_arg(&args, "-o");
			r |= fuse_opt_add_arg(&args, ours);
		}
	}
	r |= fuse_opt_add_arg(&args, "-oro,nosuid,nodev,default_permissions");
	if (o->debug)
		r |= fuse_opt_add_arg(&args, "-d");
	*ret = args;
	return r ? -ENOMEM : 0;
}

/* Leaves a daemon behind and ends this process when that serves, or with it when it fails. */
static int daemonise(struct mount *m, struct error *error)
{
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return error_set(error, -errno, "pipe: %s", strerror(errno));
	pid_t child = fork();
	if (child < 0)
		return error_set(error, -errno, "fork: %s", strerror(errno));
	if (child > 0) {
		char byte;
		close(ready[1]);
		ssize_t n;
		do
			n = read(ready[0], &byte, 1);
		while (n < 0 && errno == EINTR);
		_exit(n == 1 ? 0 : 1);
	}
	close(ready[0]);
	m->ready_fd = ready[1];
	keyring_lock(m->keyring);
	setsid();
	return 0;
}

/* A directory that somebody works in cannot be unmounted. */
static int leave_directory(struct error *error)
{
	return chdir("/") < 0 ? error_set(error, -errno, "/: %s", strerror(errno)) : 0;
}

static void *until_cancelled(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/*
 * libfuse ends its threads with pthread_cancel. glibc loads libgcc_s.so.1 for that when it is first called, and aborts
 * the process when it cannot, as with no descriptor left: so it is called once while there are some.
 */
static int prepare_to_cancel_threads(struct error *error)
{
	pthread_t thread;
	int r = -pthread_create(&thread, NULL, until_cancelled, NULL);
	if (r < 0)
		return error_set(error, r, "no thread: %s", strerror(-r));
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	return 0;
}

static int serve(struct mount *m, struct error *error)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct signals signals;
	if (!config)
		return error_set(error, -ENOMEM, "no memory");
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, m->options->max_threads);
	fuse_loop_cfg_set_idle_threads(config, m->options->max_threads);
	int r = signals_start(&signals, m);
	if (r < 0) {
		fuse_loop_cfg_destroy(config);
		return error_set(error, r, "no thread: %s", strerror(-r));
	}
	struct mounted ignored;
	r = fuse_session_loop_mt(m->session, config);
	/* Under load a lazy unmount may reach a thread that reads a request as the end of the connection. */
	if (r == -ECONNABORTED && !mountpoint_find(m->options->mountpoint, &ignored))
		r = 0;
	fuse_loop_cfg_destroy(config);
	/* Who still waits gets an answer while there is a session to answer through. */
	backend_stop(m->backend);
	entries_stop(m->entries);
	work_pool_free(steal(m->waiters));
	signals_stop(&signals);
	/* Where it did not even begin, libfuse has said why. */
	if (r < 0 && !(mounting.error && *error->text))
		error_set(error, r, "%s", strerror(-r));
	return r < 0 ? r : 0;
}

/* What fusermount3 wrote on the stderr it was given is the reason: its first line, without its name. */
static void keep_reason(int captured, struct error *error)
{
	static const char name[] = "fusermount3: ";
	char text[sizeof error->text];
	ssize_t n = pread(captured, text, sizeof text - 1, 0);
	if (n <= 0)
		return;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	error_set(error, 0, "%s", strncmp(text, name, sizeof name - 1) == 0 ? text + sizeof name - 1 : text);
}

/* Mounts. Users who are not root do so through fusermount3, which has its own way to complain: it becomes our one line. */
static int mount_session(struct mount *m, struct error *error)
{
	cleanup_close int captured = memfd_create("stderr", MFD_CLOEXEC);
	cleanup_close int stderr_before = captured < 0 ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (stderr_before >= 0)
		dup2(captured, STDERR_FILENO);
	int r = fuse_session_mount(m->session, m->options->mountpoint) < 0 ? -EIO : 0;
	if (stderr_before >= 0)
		dup2(stderr_before, STDERR_FILENO);
	if (r < 0)
		keep_reason(captured, error);
	if (r < 0 && !*error->text)
		error_set(error, r, "%s: cannot be mounted on", m->options->mountpoint);
	return r;
}

static int mount_and_serve(struct mount *m, struct error *error)
{
	signals_block();
	int r = mount_session(m, error);
	if (r == 0) {
		r = parallel_prepare(m);
		if (r < 0)
			error_set(error, r, "%s", strerror(-r));
		if (r == 0 && !m->options->foreground)
			r = daemonise(m, error);
		if (r == 0)
			r = leave_directory(error);
		if (r == 0)
			r = serve(m, error);
		fuse_session_unmount(m->session);
	}
	return r;
}

int mount_serve(struct mount *m, const char *source, struct error *error)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	mounting.m = m;
	mounting.error = error;
	mounting.complete = false;
	*error->text = '\0';
	fuse_set_log_func(on_fuse_log);
	int r = prepare_to_cancel_threads(error);
	if (r == 0)
		r = make_args(m->options, source, &args);
	if (r == 0) {
		m->session = fuse_session_new(&args, &operations, sizeof operations, m);
		if (!m->session)
			r = *error->text ? -EINVAL : error_set(error, -EINVAL, "libfuse refuses these options");
	}
	if (r == 0) {
		r = mount_and_serve(m, error);
		fuse_session_destroy(m->session);
	}
	fuse_opt_free_args(&args);
	buffers_free();
	mounting.error = NULL;
	return r;
}
