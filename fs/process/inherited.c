#include "ckfs/inherited.h"

#include "ckfs/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

/* The usual stack of a process that nobody has limited. */
#define STACK_SIZE ((size_t)8 << 20)

/* How far to look for descriptors where /proc does not list them. */
#define SEARCHED_DESCRIPTORS 1024

/* The descriptors to close. */
static struct {
	int *fds;
	size_t count, capacity;
} others;

int inherited_nowhere(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* A bare chroot has no /dev/null. A descriptor that can neither be read nor written does no harm either. */
	return fd < 0 ? open("/", O_PATH | O_CLOEXEC) : fd;
}

/* Opening a file takes the lowest free number. If one of 0 to 2 were free, a file of ours would get it, and lose it when the daemon replaces these. */
static void fill_standard_streams(void)
{
	int fd;
	do
		fd = inherited_nowhere();
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	/* Children inherit them as their standard streams. */
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		(void)fcntl(fd, F_SETFD, 0);
}

/* A descriptor with FD_CLOEXEC was not inherited: a library has opened it before main(). */
static void note_if_inherited(int fd)
{
	if (fd <= STDERR_FILENO || fcntl(fd, F_GETFD) != 0)
		return;
	if (others.count == others.capacity) {
		size_t capacity = others.capacity ? 2 * others.capacity : 16;
		int *fds = realloc(others.fds, capacity * sizeof *fds);
		if (!fds)
			return;
		others.fds = fds;
		others.capacity = capacity;
	}
	others.fds[others.count++] = fd;
}

static void note_other_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	if (!directory) {
		for (int fd = 0; fd < SEARCHED_DESCRIPTORS; fd++)
			note_if_inherited(fd);
		return;
	}
	for (const struct dirent *d; (d = readdir(directory));)
		if (d->d_name[0] != '.')
			note_if_inherited(atoi(d->d_name));
	closedir(directory);
}

void inherited_close(void)
{
	while (others.count > 0)
		close(others.fds[--others.count]);
	free(others.fds);
	others.fds = NULL;
	others.capacity = 0;
}

/*
 * Leave a signal ignored where that does no harm: a shell lets its background jobs ignore ^C. nohup ignores SIGHUP, but the daemon waits for
 * that one and gets it all the same.
 */
static void settle_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGXCPU};
	sigset_t none;
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	/* If SIGCHLD were ignored, children would leave no exit status. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Timers survive exec: one that the starter has set would end the daemon. */
static void stop_timers(void)
{
	const struct itimerval never = {0};
	setitimer(ITIMER_REAL, &never, NULL);
	setitimer(ITIMER_VIRTUAL, &never, NULL);
	setitimer(ITIMER_PROF, &never, NULL);
}

static void raise_limits(void)
{
	static const int raised[] = {RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_CPU, RLIMIT_AS, RLIMIT_DATA, RLIMIT_SIGPENDING};
	struct rlimit limit;
	for (size_t i = 0; i < sizeof raised / sizeof *raised; i++)
		if (getrlimit(raised[i], &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
			limit.rlim_cur = limit.rlim_max;
			setrlimit(raised[i], &limit);
		}
}

/* This limit is also the size of each thread's stack. A tiny one would crash the threads, a huge one would use up the memory. */
static void settle_stacks(void)
{
	struct rlimit limit;
	pthread_attr_t attr;
	if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < STACK_SIZE) {
		limit.rlim_cur = limit.rlim_max < STACK_SIZE ? limit.rlim_max : STACK_SIZE;
		setrlimit(RLIMIT_STACK, &limit);
	}
	if (pthread_attr_init(&attr) != 0)
		return;
	if (pthread_attr_setstacksize(&attr, STACK_SIZE) == 0)
		pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
}

/* Find fusermount3 even if cron or a container sets a short PATH. */
static void complete_path(void)
{
	static const char usual[] = "/usr/local/bin:/usr/bin:/bin";
	const char *path = getenv("PATH");
	cleanup_free char *whole = NULL;
	if (asprintf(&whole, "%s%s%s", path ? path : "", path && *path ? ":" : "", usual) < 0)
		whole = NULL;
	else
		setenv("PATH", whole, 1);
}

void inherited_settle(void)
{
	fill_standard_streams();
	note_other_descriptors();
	stop_timers();
	settle_signals();
	raise_limits();
	settle_stacks();
	complete_path();
	umask(077);
}
