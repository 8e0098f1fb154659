#include "ckfs/inherited.h"

#include "ckfs/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

/* What Linux gives a process that nobody has limited. */
#define STACK_SIZE ((size_t)8 << 20)

/* How far to look for descriptors where /proc does not list them. */
#define SEARCHED_DESCRIPTORS 1024

/* Those that are to be closed. */
static struct {
	int *fds;
	size_t count, capacity;
} others;

int inherited_nowhere(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* A bare chroot has none. This cannot be read or written, which does no harm either. */
	return fd < 0 ? open("/", O_PATH | O_CLOEXEC) : fd;
}

/* What is opened first takes the lowest free number: a file of ours under one of these would be overwritten when the daemon lets go of them. */
static void fill_standard_streams(void)
{
	int fd;
	do
		fd = inherited_nowhere();
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	/* They are the standard streams of children, too. */
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		(void)fcntl(fd, F_SETFD, 0);
}

/* One that is closed by exec was not inherited: a library opened it before main(). */
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
 * Signals that are ignored stay so where that does no harm: a shell has its background jobs ignore ^C, nohup has them ignore SIGHUP (it is
 * waited for, and then counts all the same).
 */
static void settle_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGXCPU};
	sigset_t none;
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	/* Ignored, it would take the exit status of children away. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Timers outlive exec, and would end what was not there when they were set. */
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

/* The limit is the size of each thread's stack, too: one that is tiny ends in a crash, and one that is huge in no memory. */
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

/* fusermount3 is found however little cron or a container says of where programs are. */
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

unsigned inherited_cores(void)
{
	cpu_set_t usable;
	/* It fails where there are more CPUs than the set has room for. */
	long cores = sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable) : sysconf(_SC_NPROCESSORS_ONLN);
	return cores < 1 ? 1 : (unsigned)cores;
}
