#include "run.h"

#include "mountpoint.h"
#include "session.h"

#include "ckfs/opened.h"
#include "ckfs/spool.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static enum log_target log_target_of(const struct options *options)
{
	return options->has_log ? options->log : options->foreground ? LOG_TO_STDERR : LOG_TO_SYSLOG;
}

/* A place that was asked for has to work, unless it is only full. The default one, which may never be needed, is said not to. */
static int check_spool(const struct options *options, struct error *error)
{
	int r = spool_check(options->spool_dir, error);
	if (r == 0 || (options->has_spool_dir && r != -ENOSPC && r != -EDQUOT))
		return r;
	log_line(LOG_WARNING, "%s", error->text);
	if (log_target_of(options) != LOG_TO_STDERR)
		fprintf(stderr, "ckfs: %s\n", error->text);
	return 0;
}

/* A store to which this build can do less says so at once. */
static void tell_what_cannot_be_written(const struct options *options, const struct backend *backend)
{
	const struct backend_ops *ops = backend->ops;
	if (options->write && !(ops->put && ops->remove && ops->expire))
		log_line(LOG_WARNING, "-o write: in a %s entries cannot be %s%s%s here", ops->title, ops->put ? "" : "stored, ", ops->remove ? "" : "removed, ",
			ops->expire ? "changed" : "given another expiry");
}

int mount_run(struct options *options, int argc, char **argv, struct error *error)
{
	struct mount m = {.options = options, .arguments = argv, .ready_fd = -1, .unmounter = {.nowhere = -1, .socket = -1}, .timeouts.lock = PTHREAD_MUTEX_INITIALIZER,
		.lacks.lock = PTHREAD_MUTEX_INITIALIZER, .handles.lock = PTHREAD_MUTEX_INITIALIZER, .requests.lock = PTHREAD_MUTEX_INITIALIZER,
		.passthrough.lock = PTHREAD_MUTEX_INITIALIZER};
	struct opened opened;
	clock_gettime(CLOCK_REALTIME, &m.since);
	m.generation = randombytes_random();
	retries_init(&m.retries);
	log_open(log_target_of(options));

	int r = opened_begin(options, argc, argv, &opened, error);
	m.keyring = opened.keyring;
	m.known = opened.known;
	m.backend = opened.backend;
	if (r == 0)
		tell_what_cannot_be_written(options, m.backend);
	if (r == 0)
		r = check_spool(options, error);
	if (r == 0)
		r = mountpoint_prepare(options, opened.source, error);
	if (r == 0)
		r = entries_new(&(struct entries_parts){.options = options, .backend = m.backend, .known = m.known, .stats = &m.stats, .keyring = m.keyring}, &m.entries);
	if (r == 0)
		spool_open_huge(entries_spool(m.entries));
	if (r == 0)
		r = inodes_new(&m.inodes);
	if (r == 0 && m.backend->ops->remote)
		r = work_pool_new(WAITER_THREADS, &m.waiters);
	if (m.waiters)
		work_pool_grow(m.waiters, WAITER_THREADS_MAX);
	if (r == 0)
		r = work_pool_new(LISTER_THREADS, &m.listers);
	if (r == 0 && options->write)
		r = work_pool_new(STORER_THREADS, &m.storers);
	if (m.storers)
		work_pool_grow(m.storers, STORER_THREADS_MAX);
	if (r == 0)
		r = mount_serve(&m, opened.source, error);
	work_pool_free(m.storers);
	work_pool_free(m.listers);
	work_pool_free(m.waiters);

	handles_free_all(&m.handles);
	retries_done(&m.retries);
	inodes_free(m.inodes);
	entries_free(m.entries);
	opened_done(&opened);
	return r;
}

const char *mount_library(void)
{
	static char text[64];
	snprintf(text, sizeof text, "libfuse %s", fuse_pkgversion());
	return text;
}
