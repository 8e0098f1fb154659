/* ckfs [options] [SOURCE] MOUNTPOINT */
#include "fs/fuse/mountpoint.h"
#include "fs/fuse/session.h"

#include "ckfs/cleanup.h"
#include "ckfs/inherited.h"
#include "ckfs/known_keys.h"
#include "ckfs/secrets.h"
#include "ckfs/spool.h"

#include <errno.h>
#include <locale.h>
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

/* Opens all that a mount needs, serves it, and closes it again. */
static int run(struct options *options, int argc, char **argv, struct error *error)
{
	struct mount m = {.options = options, .arguments = argv, .ready_fd = -1, .unmounter = {.nowhere = -1, .socket = -1}, .timeouts.lock = PTHREAD_MUTEX_INITIALIZER,
		.lacks.lock = PTHREAD_MUTEX_INITIALIZER, .handles.lock = PTHREAD_MUTEX_INITIALIZER, .requests.lock = PTHREAD_MUTEX_INITIALIZER};
	cleanup_free char *source = NULL;
	clock_gettime(CLOCK_REALTIME, &m.since);
	m.generation = randombytes_random();
	retries_init(&m.retries);

	/* First, so that the environment is clean before anything else runs. */
	int r = secrets_open(options, &m.keyring, error);
	if (r == 0)
		r = known_keys_new(&m.known);
	if (r == 0 && options->keys_file)
		r = known_keys_load(m.known, options->keys_file, error);
	if (r == 0)
		r = backend_open(options, &m.backend, &source, error);
	if (r == 0)
		tell_what_cannot_be_written(options, m.backend);
	options_forget_source(options, argc, argv);
	inherited_close();
	if (r == 0)
		r = check_spool(options, error);
	if (r == 0)
		r = mountpoint_prepare(options, source, error);
	if (r == 0)
		r = entries_new(&(struct entries_parts){.options = options, .backend = m.backend, .known = m.known, .stats = &m.stats, .keyring = m.keyring}, &m.entries);
	if (r == 0)
		r = inodes_new(&m.inodes);
	if (r == 0 && m.backend->ops->remote)
		r = work_pool_new(WAITER_THREADS, &m.waiters);
	if (r == 0)
		r = work_pool_new(LISTER_THREADS, &m.listers);
	if (r == 0 && options->write)
		r = work_pool_new(STORER_THREADS, &m.storers);
	if (r == 0)
		r = mount_serve(&m, source, error);
	work_pool_free(m.storers);
	work_pool_free(m.listers);
	work_pool_free(m.waiters);

	handles_free_all(&m.handles);
	retries_done(&m.retries);
	inodes_free(m.inodes);
	entries_free(m.entries);
	backend_close(m.backend);
	known_keys_free(m.known);
	keyring_free(m.keyring);
	return r;
}

static int run_with(struct options *options, int argc, char **argv, struct error *error)
{
	if (options->help) {
		options_print_help();
		return 0;
	}
	if (options->version) {
		printf("ckfs %s (libfuse %s)\nTLS: %s\nHTTP: %s\n", CKFS_VERSION, fuse_pkgversion(), CKFS_HAVE_TLS ? "yes" : "no", CKFS_HAVE_HTTP ? "yes" : "no");
		return 0;
	}
	log_open(log_target_of(options));
	return run(options, argc, argv, error);
}

int main(int argc, char **argv)
{
	struct options options;
	struct error error = {.text = ""};
	inherited_settle();
	secrets_harden();
	/* Names match a glob by characters. */
	setlocale(LC_CTYPE, "C.UTF-8");
	if (sodium_init() < 0) {
		fputs("ckfs: libsodium does not work here\n", stderr);
		return 1;
	}
	int r = options_parse(argc, argv, &options, &error);
	if (r == 0)
		r = run_with(&options, argc, argv, &error);
	if (r < 0)
		fprintf(stderr, "ckfs: %s\n", *error.text ? error.text : strerror(-r));
	options_done(&options);
	return r < 0 ? 1 : 0;
}
