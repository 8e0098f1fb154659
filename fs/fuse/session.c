#include "session.h"

#include "backing.h"
#include "buffers.h"
#include "confine.h"
#include "device.h"
#include "dispatch.h"
#include "mountpoint.h"
#include "signals.h"

#include "ckfs/cleanup.h"
#include "ckfs/inherited.h"
#include "ckfs/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

/* Before libfuse's loop begins again, in milliseconds. */
#define AGAIN_MS 20

/* Until the mount serves, the first message of libfuse is the reason for a failure: it is kept for the one line that users get. */
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
	passthrough_init(m, conn);
	device_init(m, conn);
	mounting.error = NULL;
	if (m->ready_fd < 0)
		return;

	/* The daemon serves from here on: whoever started it may go. */
	bool keeps_stderr = m->options->has_log && m->options->log == LOG_TO_STDERR;
	for (int fd = 0; fd <= (keeps_stderr ? 1 : 2); fd++)
		dup2(m->nowhere_fd, fd);
	close(m->nowhere_fd);
	ssize_t ignored = write(m->ready_fd, "", 1);
	(void)ignored;
	close(m->ready_fd);
	m->ready_fd = -1;
}

static pid_t thread_of(fuse_req_t req)
{
	return fuse_req_ctx(req)->pid;
}

static const struct reply_ops replies = {
	.err = fuse_reply_err,
	.none = fuse_reply_none,
	.entry = fuse_reply_entry,
	.attr = fuse_reply_attr,
	.open = fuse_reply_open,
	.buf = fuse_reply_buf,
	.xattr = fuse_reply_xattr,
	.statfs = fuse_reply_statfs,
	.create = fuse_reply_create,
	.write = fuse_reply_write,
	.thread = thread_of,
	.on_interrupt = fuse_req_interrupt_func,
	.back = backing_open,
	.unback = backing_close,
	.store = fuse_lowlevel_notify_store,
	.inval = fuse_lowlevel_notify_inval_inode,
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
	r |= fuse_opt_add_arg(&args, o->write ? "-orw,nosuid,nodev,default_permissions" : "-oro,nosuid,nodev,default_permissions");
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
		/* It goes on, whatever interrupts it: it must know what becomes of the daemon before it goes. */
		do
			n = read(ready[0], &byte, 1);
		while (n < 0);
		_exit(n == 1 ? 0 : 1);
	}
	close(ready[0]);
	m->ready_fd = ready[1];
	/* Opened here, where a failure can still be told. Whoever started the daemon may wait until it has let go of its streams. */
	m->nowhere_fd = inherited_nowhere();
	if (m->nowhere_fd < 0)
		return error_set(error, -errno, "/dev/null: %s", strerror(errno));
	keyring_lock(m->keyring);
	setsid();
	return 0;
}

/* A filesystem cannot be unmounted while a process has its working directory there. */
static int leave_directory(struct error *error)
{
	return chdir("/") < 0 ? error_set(error, -errno, "/: %s", strerror(errno)) : 0;
}

/*
 * libfuse ends its threads with pthread_cancel. At its first call glibc loads libgcc_s.so.1, and aborts the process if it cannot, as when no
 * descriptor is left. So it is loaded now. (Calling pthread_cancel once would take a thread, which counts for a while after it has ended.)
 */
static void prepare_to_cancel_threads(void)
{
	(void)dlopen("libgcc_s.so.1", RTLD_NOW);
}

/*
 * libfuse ends its loop when there is no memory, or no thread can be started: the next loop serves the requests that wait. Before anything was
 * served, that is a failure to mount.
 */
static int serve_on(struct mount *m, struct fuse_loop_config *config, const struct signals *signals)
{
	const struct timespec pause = {.tv_nsec = AGAIN_MS * 1000000L};
	for (;;) {
		int r = fuse_session_loop_mt(m->session, config);
		if ((r != -ENOMEM && r != -1) || mounting.error || signals->asked)
			return r;
		lack_tell(m, -ENOMEM);
		nanosleep(&pause, NULL);
		fuse_session_reset(m->session);
	}
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
	r = serve_on(m, config, &signals);
	/* Under load a lazy unmount may reach a thread that reads a request as the end of the connection. */
	if (r == -ECONNABORTED && !mountpoint_find(m->options->mountpoint, &ignored))
		r = 0;
	fuse_loop_cfg_destroy(config);
	/* All that wait are answered while there is a session to answer through. */
	requests_stop(m);
	backend_stop(m->backend);
	entries_stop(m->entries);
	work_pool_free(steal(m->listers));
	work_pool_free(steal(m->waiters));
	work_pool_free(steal(m->storers));
	signals_stop(&signals);
	/* If it did not even begin, libfuse has said why. */
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
	/* Without memory libfuse may return 0, as if that were the device (fuse_mount_sys of 3.14). The low ones are open: none of them is. */
	if (r == 0 && fuse_session_fd(m->session) <= STDERR_FILENO)
		r = -ENOMEM;
	if (r < 0)
		keep_reason(captured, error);
	if (r < 0 && !*error->text)
		error_set(error, r, "%s: cannot be mounted on", m->options->mountpoint);
	const struct error said = *error;
	if (r < 0 && strstr(said.text, strerror(EAGAIN)))
		error_set(error, r, "%.300s; is it the limit on processes and threads (ulimit -u)?", said.text);
	if (r < 0 && access("/dev/fuse", F_OK) < 0 && errno == ENOENT)
		error_set(error, r, "there is no /dev/fuse and nothing can be mounted: load it (modprobe fuse), give it to the container, or use ckfs ls, cat, stat (ckfs --help)");
	return r;
}

static int mount_and_serve(struct mount *m, struct error *error)
{
	signals_block();
	int r = mount_session(m, error);
	if (r == 0) {
		r = unmounter_prepare(&m->unmounter, m->options->mountpoint);
		if (r == 0)
			r = device_prepare(m);
		if (r < 0)
			error_set(error, r, "%s", strerror(-r));
		if (r == 0 && !m->options->foreground)
			r = daemonise(m, error);
		if (r == 0)
			r = leave_directory(error);
		if (r == 0)
			r = confine(m, error);
		if (r == 0)
			r = serve(m, error);
		unmounter_end(&m->unmounter, m->session);
	}
	return r;
}

int mount_serve(struct mount *m, const char *source, struct error *error)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	m->reply = &replies;
	mounting.m = m;
	mounting.error = error;
	mounting.complete = false;
	*error->text = '\0';
	fuse_set_log_func(on_fuse_log);
	prepare_to_cancel_threads();
	struct fuse_lowlevel_ops operations = *dispatch_operations(m->options->write);
	operations.init = on_init;
	int r = make_args(m->options, source, &args);
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
