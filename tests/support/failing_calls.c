/*
 * Preloaded by tests into ckfs: counts the calls of one class, and lets some of them fail. Which, and how, stands in the file $FAILING_CALLS
 * (failing_calls.py), which the process maps, so that a daemon takes other orders while it runs.
 *
 * What the C library calls within itself is not seen, but for memory; so what it does for its callers (fopen, realpath) fails as a whole.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FRAMES 24

/* What the test and the process share; failing_calls.py has the same. */
struct control {
	char counted[32];   /* a class, or one call by its name; "": nothing is counted */
	atomic_int first;   /* the call that fails first, from 1; 0: none */
	atomic_int times;   /* how many fail from there on */
	atomic_int number;  /* the errno */
	atomic_int seen;    /* calls so far */
	atomic_int failed;  /* calls that did */
	char where[3000];   /* the call that failed first, and who called it */
	atomic_int told;    /* there was a process that was told */
};

static struct control *control;
static __thread bool busy __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void begin(void)
{
	void *frames[1];
	const char *path = getenv("FAILING_CALLS");
	/* What ckfs runs is none of it. */
	if (!path || strcmp(program_invocation_short_name, "ckfs") != 0)
		return;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		abort();
	void *memory = (void *)syscall(SYS_mmap, NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	backtrace(frames, 1); /* loads what it needs */
	if (memory == MAP_FAILED)
		return;
	control = memory;
	control->told = 1;
}

static void tell_where(const char *call)
{
	void *frames[FRAMES];
	int count = backtrace(frames, FRAMES);
	size_t n = (size_t)snprintf(control->where, sizeof control->where, "%s", call);
	for (int i = 2; i < count && n < sizeof control->where - 300; i++) {
		Dl_info info;
		if (dladdr(frames[i], &info) && info.dli_fname)
			n += (size_t)snprintf(control->where + n, 290, " %.200s+0x%lx", info.dli_fname, (unsigned long)((char *)frames[i] - (char *)info.dli_fbase));
	}
}

static bool is_counted(const char *class, const char *call)
{
	return control && control->counted[0] && (strcmp(control->counted, class) == 0 || strcmp(control->counted, call) == 0);
}

/* Whether this call fails; errno is set then. */
static __attribute__((noinline)) bool fails(const char *class, const char *call)
{
	if (busy || !is_counted(class, call))
		return false;
	int n = atomic_fetch_add(&control->seen, 1) + 1, first = control->first;
	if (first == 0 || n < first || n - first >= control->times)
		return false;
	busy = true;
	if (atomic_fetch_add(&control->failed, 1) == 0)
		tell_where(call);
	busy = false;
	errno = control->number;
	return true;
}

#define NEXT(name) ({ static void *next; if (!next) next = dlsym(RTLD_NEXT, #name); (typeof(&name))next; })

#define FAILING(result, name, class, failure, parameters, ...) \
	result name parameters \
	{ \
		return fails(class, #name) ? failure : NEXT(name)(__VA_ARGS__); \
	}

/* Descriptors of the kernel's side and of servers are other classes than those of files. */
static const char *class_of(int fd, const char *of_a_file, const char *of_a_socket, const char *of_fuse)
{
	struct stat st;
	if (busy || !control || !control->counted[0] || syscall(SYS_fstat, fd, &st) < 0)
		return "";
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 229))
		return of_fuse;
	return S_ISSOCK(st.st_mode) ? of_a_socket : of_a_file;
}

/* open */

#define OPEN(name) \
	int name(const char *path, int flags, ...) \
	{ \
		va_list list; \
		va_start(list, flags); \
		mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
		va_end(list); \
		return fails("open", #name) ? -1 : NEXT(name)(path, flags, mode); \
	}

#define OPENAT(name) \
	int name(int at, const char *path, int flags, ...) \
	{ \
		va_list list; \
		va_start(list, flags); \
		mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
		va_end(list); \
		return fails("open", #name) ? -1 : NEXT(name)(at, path, flags, mode); \
	}

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
FAILING(FILE *, fopen, "open", NULL, (const char *path, const char *mode), path, mode)
FAILING(FILE *, fopen64, "open", NULL, (const char *path, const char *mode), path, mode)
FAILING(DIR *, opendir, "open", NULL, (const char *path), path)
FAILING(char *, realpath, "open", NULL, (const char *path, char *to), path, to)
FAILING(int, access, "open", -1, (const char *path, int mode), path, mode)
FAILING(int, chdir, "open", -1, (const char *path), path)
FAILING(char *, getcwd, "open", NULL, (char *to, size_t n), to, n)

/* read, pread; and what is read of a file's beginning alone */

ssize_t read(int fd, void *to, size_t n)
{
	return fails(class_of(fd, "read", "recv", "fuse read"), "read()") ? -1 : NEXT(read)(fd, to, n);
}

#define PREAD(name) \
	ssize_t name(int fd, void *to, size_t n, off_t at) \
	{ \
		return fails("read", at > 1000 ? "pread rest" : "pread first") ? -1 : NEXT(name)(fd, to, n, at); \
	}

PREAD(pread)
ssize_t pread64(int fd, void *to, size_t n, off64_t at) __attribute__((alias("pread")));

/* stat, and what is asked of files and directories beside */

FAILING(int, stat64, "stat", -1, (const char *path, struct stat64 *ret), path, ret)
FAILING(int, lstat64, "stat", -1, (const char *path, struct stat64 *ret), path, ret)
FAILING(int, fstat64, "stat", -1, (int fd, struct stat64 *ret), fd, ret)
FAILING(int, fstatfs64, "stat", -1, (int fd, struct statfs64 *ret), fd, ret)
FAILING(int, statvfs64, "stat", -1, (const char *path, struct statvfs64 *ret), path, ret)
FAILING(int, statx, "stat", -1, (int at, const char *path, int flags, unsigned mask, struct statx *ret), at, path, flags, mask, ret)
FAILING(int, name_to_handle_at, "handle", -1, (int at, const char *path, struct file_handle *handle, int *id, int flags), at, path, handle, id, flags)
FAILING(struct dirent64 *, readdir64, "getdents", NULL, (DIR *directory), directory)

/* changes of files */

FAILING(ssize_t, pwrite64, "pwrite", -1, (int fd, const void *from, size_t n, off64_t at), fd, from, n, at)
FAILING(int, fsync, "fsync", -1, (int fd), fd)
FAILING(int, sync_file_range, "sync_file_range", -1, (int fd, off_t at, off_t n, unsigned flags), fd, at, n, flags)
FAILING(int, linkat, "rename", -1, (int from, const char *name, int to, const char *as, int flags), from, name, to, as, flags)
FAILING(int, renameat, "rename", -1, (int from, const char *name, int to, const char *as), from, name, to, as)
FAILING(int, fstatat64, "rename", -1, (int at, const char *name, struct stat64 *ret, int flags), at, name, ret, flags)
FAILING(int, flock, "flock", -1, (int fd, int operation), fd, operation)
FAILING(ssize_t, fgetxattr, "xattr", -1, (int fd, const char *name, void *to, size_t n), fd, name, to, n)
FAILING(int, fsetxattr, "xattr", -1, (int fd, const char *name, const void *from, size_t n, int flags), fd, name, from, n, flags)

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	va_start(list, request);
	void *arg = va_arg(list, void *);
	va_end(list);
	return fails("ioctl", "ioctl()") ? -1 : NEXT(ioctl)(fd, request, arg);
}

long syscall(long number, ...)
{
	long a[6];
	va_list list;
	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_getdents64 && fails("getdents", "getdents64"))
		return -1;
	return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* memory */

extern void *__libc_malloc(size_t n), *__libc_calloc(size_t count, size_t n), *__libc_realloc(void *old, size_t n);
extern void *__libc_memalign(size_t alignment, size_t n);

/*
 * libfuse's memory for one request. Without it libfuse answers with ENOMEM itself, but for RELEASE and FORGET, of which the kernel hears no
 * answer: ckfs never hears of them, and what they let go is held until the end of the mount. That is how libfuse is; it is not failed here.
 */
static bool is_left_alone(void *caller)
{
	Dl_info info;
	if (!is_counted("malloc", "calloc") || !dladdr(caller, &info))
		return false;
	/* libseccomp 2.5 crashes without memory (a NULL that it follows, a double free), while the daemon shuts itself in. hiredis 0.14 aborts. */
	return strstr(info.dli_fname, "/libseccomp") || strstr(info.dli_fname, "/libhiredis.so.0") || (syscall(SYS_gettid) != getpid() && strstr(info.dli_fname, "/libfuse3"));
}

void *malloc(size_t n)
{
	return !is_left_alone(__builtin_return_address(0)) && fails("malloc", n >= 1 << 20 ? "malloc large" : "malloc()") ? NULL : __libc_malloc(n);
}

/* Here as well: what strdup of libc allocates has libc for its caller. */
char *strdup(const char *text)
{
	size_t n = strlen(text) + 1;
	if (!is_left_alone(__builtin_return_address(0)) && fails("malloc", "malloc()"))
		return NULL;
	char *ret = __libc_malloc(n);
	return ret ? memcpy(ret, text, n) : NULL;
}

void *calloc(size_t count, size_t n)
{
	return !is_left_alone(__builtin_return_address(0)) && fails("malloc", "calloc") ? NULL : __libc_calloc(count, n);
}

void *realloc(void *old, size_t n)
{
	return !is_left_alone(__builtin_return_address(0)) && fails("malloc", "realloc") ? NULL : __libc_realloc(old, n);
}

int posix_memalign(void **ret, size_t alignment, size_t n)
{
	int before = errno;
	void *memory = fails("malloc", "posix_memalign") ? NULL : __libc_memalign(alignment, n);
	errno = before;
	if (memory)
		*ret = memory;
	return memory ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t n)
{
	return !is_left_alone(__builtin_return_address(0)) && fails("malloc", n >= 1 << 20 ? "malloc large" : "malloc()") ? NULL : __libc_memalign(alignment, n);
}

FAILING(void *, mmap, "mmap", MAP_FAILED, (void *at, size_t n, int protection, int flags, int fd, off_t from), at, n, protection, flags, fd, from)
void *mmap64(void *at, size_t n, int protection, int flags, int fd, off64_t from) __attribute__((alias("mmap")));

void *mremap(void *old, size_t n, size_t to, int flags, ...)
{
	return fails("mmap", "mremap") ? MAP_FAILED : (void *)syscall(SYS_mremap, old, n, to, flags);
}

FAILING(int, mlock, "mlock", -1, (const void *at, size_t n), at, n)
FAILING(int, mprotect, "mlock", -1, (void *at, size_t n, int protection), at, n, protection)
FAILING(int, madvise, "mlock", -1, (void *at, size_t n, int advice), at, n, advice)
FAILING(int, memfd_create, "memfd", -1, (const char *name, unsigned flags), name, flags)
FAILING(int, ftruncate64, "fallocate", -1, (int fd, off64_t n), fd, n)
FAILING(int, posix_fallocate64, "fallocate", errno, (int fd, off64_t at, off64_t n), fd, at, n)
FAILING(int, unlinkat, "fallocate", -1, (int at, const char *path, int flags), at, path, flags)

/* servers */

FAILING(int, socket, "socket", -1, (int family, int type, int protocol), family, type, protocol)
FAILING(int, connect, "connect", -1, (int fd, const struct sockaddr *address, socklen_t n), fd, address, n)
FAILING(ssize_t, recv, "recv", -1, (int fd, void *to, size_t n, int flags), fd, to, n, flags)
FAILING(ssize_t, send, "send", -1, (int fd, const void *from, size_t n, int flags), fd, from, n, flags)
FAILING(int, poll, "poll", -1, (struct pollfd *fds, nfds_t n, int timeout), fds, n, timeout)
FAILING(int, getsockopt, "sockopt", -1, (int fd, int level, int name, void *to, socklen_t *n), fd, level, name, to, n)
FAILING(int, setsockopt, "sockopt", -1, (int fd, int level, int name, const void *from, socklen_t n), fd, level, name, from, n)

/* the kernel's side */

ssize_t write(int fd, const void *from, size_t n)
{
	return fails(class_of(fd, "write", "send", "fuse write"), "write()") ? -1 : NEXT(write)(fd, from, n);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
	return fails(class_of(fd, "write", "send", "fuse write"), "writev") ? -1 : NEXT(writev)(fd, pieces, count);
}

FAILING(int, mount, "mount", -1, (const char *from, const char *to, const char *type, unsigned long flags, const void *data), from, to, type, flags, data)

/* processes */

int pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
	int before = errno;
	int r = fails("thread", "pthread_create") ? errno : NEXT(pthread_create)(ret, attributes, run, arg);
	errno = before;
	return r;
}

FAILING(int, pipe, "pipe", -1, (int ends[2]), ends)
FAILING(int, pipe2, "pipe", -1, (int ends[2], int flags), ends, flags)
FAILING(int, socketpair, "pipe", -1, (int family, int type, int protocol, int ends[2]), family, type, protocol, ends)
FAILING(pid_t, fork, "fork", -1, (void))
