/* ckfs [options] [SOURCE] MOUNTPOINT */
#include "fuse/errand.h"
#include "fuse/mount.h"
#include "fuse/mountpoint.h"

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

/* Opens all that a mount needs, serves it, and closes it again. */
static int run(struct options *options, int argc, char **argv, struct error *error)
{
	struct mount m = {.options = options, .ready_fd = -1, .retries.lock = PTHREAD_MUTEX_INITIALIZER, .timeouts.lock = PTHREAD_MUTEX_INITIALIZER,
		.lacks.lock = PTHREAD_MUTEX_INITIALIZER, .handles.lock = PTHREAD_MUTEX_INITIALIZER};
	cleanup_free char *source = NULL;
	clock_gettime(CLOCK_REALTIME, &m.since);
	m.generation = randombytes_random();

	/* First, so that the environment is clean before anything else runs. */
	int r = secrets_open(options, &m.keyring, error);
	if (r == 0)
		r = known_keys_new(&m.known);
	if (r == 0 && options->keys_file)
		r = known_keys_load(m.known, options->keys_file, error);
	if (r == 0)
		r = backend_open(options, &m.backend, &source, error);
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
		r = work_pool_new(ERRAND_THREADS, &m.waiters);
	if (r == 0)
		r = mount_serve(&m, source, error);
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
		printf("ckfs %s (libfuse %s)\nTLS: %s\n", CKFS_VERSION, fuse_pkgversion(), CKFS_HAVE_TLS ? "yes" : "no");
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
