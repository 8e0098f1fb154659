/*
 * seccomp limits system calls. A call that is in no table below fails with ENOSYS, and C libraries then use another one. A call that only
 * foreign code would make ends the process.
 */
#include "sandbox_private.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A sanitizer starts a process to look into its threads when it reports. */
#if defined(__has_feature)
#define IS_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

#ifdef __s390__
#define FLAGS_OF_CLONE 1
#else
#define FLAGS_OF_CLONE 0
#endif

static const char *const allowed[] = {
	/* memory */
	"brk", "madvise", "memfd_create", "mincore", "mlock", "mlock2", "mremap", "munlock", "munmap",
	/* threads, time, signals */
	"clock_getres", "clock_gettime", "clock_nanosleep", "exit", "exit_group", "futex", "futex_time64", "get_robust_list", "getcpu", "gettid",
	"gettimeofday", "membarrier", "nanosleep", "pause", "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
	"rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
	"sched_setaffinity", "sched_yield", "set_robust_list", "set_tid_address", "sigaltstack", "sigreturn", "time",
	/* files that are read, or made in the spool */
	"access", "close", "close_range", "creat", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fcntl", "fcntl64",
	"fgetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "ftruncate", "ftruncate64", "getcwd", "getdents", "getdents64", "lseek", "lstat",
	"lstat64", "name_to_handle_at", "newfstatat", "open", "openat", "pread64", "preadv", "pwrite64", "pwritev", "read", "readahead",
	"readlink", "readlinkat", "readv", "copy_file_range", "sendfile", "sendfile64", "stat", "stat64", "statfs", "statfs64", "statx", "unlink", "unlinkat", "write", "writev",
	/* pipes, and what is waited for */
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "pipe", "pipe2", "poll", "ppoll", "pselect6", "select", "splice",
	"tee", "vmsplice",
	/* servers and syslog; the rules below say which sockets are possible */
	"bind", "connect", "getpeername", "getsockname", "getsockopt", "recv", "recvfrom", "recvmmsg", "recvmsg", "send", "sendmmsg", "sendmsg",
	"sendto", "setsockopt", "shutdown", "socketpair",
	/* the end of the process that unmounts */
	"wait4", "waitid", "waitpid",
	/* who we are, where we are */
	"getegid", "geteuid", "getgid", "getpid", "getppid", "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage", "getuid", "sysinfo",
	"ugetrlimit", "uname",
	/* the same on CPUs of 32 bits */
	"_llseek", "_newselect", "arm_fadvise64_64", "clock_gettime64", "clock_nanosleep_time64", "fadvise64_64", "getegid32", "geteuid32",
	"getgid32", "getresgid32", "getresuid32", "getuid32", "ppoll_time64", "pselect6_time64", "recvmmsg_time64",
#ifndef __GLIBC__
	"tkill",
#endif
#ifdef __s390__
	"mmap", /* its arguments lie in memory */
#endif
#if IS_SANITIZED
	"clone", "kill", "mmap", "mprotect", "msync", "personality", "prctl", "prlimit64", "ptrace", "tgkill",
#endif
};

/* For a directory where entries are stored. */
static const char *const storing[] = {"fchown", "fchown32", "flock", "fsetxattr", "fsync", "linkat", "rename", "renameat", "renameat2", "sync_file_range", "sync_file_range2"};

/* Allowed only with these arguments. */
static const struct condition {
	const char *call;
	bool for_network;
	struct scmp_arg_cmp argument;
} conditions[] = {
	/* Threads, not processes. The flags of clone3 lie in memory, where seccomp cannot look at them. */
	{"clone", false, {FLAGS_OF_CLONE, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD}},
	/* Memory that can be written cannot be executed. */
	{"mmap", false, {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0}},
	{"mmap", false, {2, SCMP_CMP_MASKED_EQ, PROT_WRITE, 0}},
	{"mmap2", false, {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0}},
	{"mmap2", false, {2, SCMP_CMP_MASKED_EQ, PROT_WRITE, 0}},
	{"mprotect", false, {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0}},
	{"prctl", false, {0, SCMP_CMP_EQ, PR_SET_NAME, 0}},
	/* Limits may be read, not set. */
	{"prlimit64", false, {2, SCMP_CMP_EQ, 0, 0}},
	/* Compare 32 bits: a library may have extended the sign of the number. */
	{"ioctl", false, {1, SCMP_CMP_MASKED_EQ, UINT32_MAX, FS_IOC_GETVERSION & UINT32_MAX}},
	{"ioctl", false, {1, SCMP_CMP_MASKED_EQ, UINT32_MAX, FUSE_DEV_IOC_CLONE & UINT32_MAX}},
	{"ioctl", false, {1, SCMP_CMP_MASKED_EQ, UINT32_MAX, TCGETS}},
	{"ioctl", true, {1, SCMP_CMP_MASKED_EQ, UINT32_MAX, FIONBIO}},
	{"ioctl", true, {1, SCMP_CMP_MASKED_EQ, UINT32_MAX, FIONREAD}},
	/* The number of an interface, as in fe80::1%eth0. The resolver asks for it too. */
	{"ioctl", true, {1, SCMP_CMP_MASKED_EQ, UINT32_MAX, SIOCGIFINDEX}},
	{"socket", false, {0, SCMP_CMP_EQ, AF_UNIX, 0}},
	{"socket", true, {0, SCMP_CMP_EQ, AF_INET, 0}},
	{"socket", true, {0, SCMP_CMP_EQ, AF_INET6, 0}},
	/* The resolver asks which addresses this machine has. */
	{"socket", true, {0, SCMP_CMP_EQ, AF_NETLINK, 0}},
};

static const char *const fatal[] = {
	"acct", "add_key", "bpf", "chroot", "delete_module", "execve", "execveat", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick",
	"init_module", "kexec_file_load", "kexec_load", "keyctl", "mount", "mount_setattr", "move_mount", "open_by_handle_at", "open_tree",
	"perf_event_open", "pidfd_getfd", "pivot_root", "process_vm_readv", "process_vm_writev", "reboot", "request_key", "setns", "swapoff",
	"swapon", "umount", "umount2", "unshare", "userfaultfd",
#if !IS_SANITIZED
	"ptrace",
#endif
};

/* Leave out a call that this CPU or this libseccomp does not know. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *call, const struct scmp_arg_cmp *argument)
{
	int number = seccomp_syscall_resolve_name(call);
	if (number == __NR_SCMP_ERROR)
		return 0;
	int r = seccomp_rule_add_array(filter, action, number, argument ? 1 : 0, argument);
	return r == -EEXIST || r == -EDOM ? 0 : r;
}

static bool has_store(const struct sandbox *sandbox)
{
	size_t i = 0;
	while (i < sandbox->count && sandbox->places[i].use != SANDBOX_STORE)
		i++;
	return i < sandbox->count;
}

static int add_rules(scmp_filter_ctx filter, const struct sandbox *sandbox)
{
	/* Allow signals to the process itself: libfuse ends its threads so, and abort() ends the process so. */
	const struct scmp_arg_cmp own = {0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0};
	int r = add(filter, SCMP_ACT_ALLOW, "tgkill", &own);
	for (size_t i = 0; r == 0 && i < sizeof allowed / sizeof *allowed; i++)
		r = add(filter, SCMP_ACT_ALLOW, allowed[i], NULL);
	for (size_t i = 0; r == 0 && has_store(sandbox) && i < sizeof storing / sizeof *storing; i++)
		r = add(filter, SCMP_ACT_ALLOW, storing[i], NULL);
	for (size_t i = 0; r == 0 && i < sizeof conditions / sizeof *conditions; i++)
		if (sandbox->network || !conditions[i].for_network)
			r = add(filter, SCMP_ACT_ALLOW, conditions[i].call, &conditions[i].argument);
	for (size_t i = 0; r == 0 && i < sizeof fatal / sizeof *fatal; i++)
		r = add(filter, SCMP_ACT_KILL_PROCESS, fatal[i], NULL);
	return r;
}

bool sandbox_can_restrict_calls(void)
{
	const uint32_t action = SECCOMP_RET_KILL_PROCESS;
	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int sandbox_restrict_calls(const struct sandbox *sandbox)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (!filter)
		return -ENOSYS;
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* sandbox.c has asked for no_new_privs already, or could not get it. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	/* Older kernels would slow down each branch, as a defence against code that the process compiles. It compiles none. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	/* Search the rules as a tree, not as a list. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = add_rules(filter, sandbox);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
