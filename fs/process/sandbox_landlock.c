/* Landlock limits files. No library has its calls. What Landlock does not know yet (stat, unix sockets) stays allowed. */
#include "sandbox_private.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Kernels may be newer than the headers. */
#define FS_REFER (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define NET_BIND_TCP (UINT64_C(1) << 0)
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

/* All of the first version: from LANDLOCK_ACCESS_FS_EXECUTE to _MAKE_SYM. */
#define FS_FIRST ((UINT64_C(1) << 13) - 1)

/* The rights that a file can have. All others are for directories. */
#define FS_OF_FILES (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

/* The kernel's struct landlock_ruleset_attr. An older kernel accepts it if the members that it does not know are 0. */
struct ruleset {
	uint64_t files, net, scoped;
};

/* What each version of Landlock adds to the one before. */
static const struct {
	int version;
	struct ruleset more;
} versions[] = {
	{1, {.files = FS_FIRST}},
	{2, {.files = FS_REFER}},
	{3, {.files = FS_TRUNCATE}},
	{4, {.net = NET_BIND_TCP | NET_CONNECT_TCP}},
	{5, {.files = FS_IOCTL_DEV}},
	{6, {.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL}},
};

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define MAKE (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | FS_TRUNCATE)

static const uint64_t rights[SANDBOX_USES] = {
	[SANDBOX_READ] = READ,
	[SANDBOX_READ_UNNOTICED] = READ,
	[SANDBOX_READ_BELOW] = READ,
	[SANDBOX_MAKE_FILES] = MAKE,
	[SANDBOX_MAKE_FILES_AGAIN] = MAKE,
	[SANDBOX_STORE] = READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | FS_TRUNCATE,
	[SANDBOX_WRITE] = LANDLOCK_ACCESS_FS_WRITE_FILE,
	[SANDBOX_DEVICE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_IOCTL_DEV,
	[SANDBOX_CONNECT] = 0,
};

/*
 * At each open the kernel also looks whether the file may be truncated. Where no rule says so it looks in all directories above, up to the root, which
 * makes opening a file take half as long again. So that right is given where many files are opened. It lets nobody truncate what is opened to be read, and
 * truncate() is no call of a mount: where calls cannot be restricted, the right is not given.
 */
static uint64_t more_rights(enum sandbox_use use)
{
	return use == SANDBOX_READ_UNNOTICED && sandbox_can_restrict_calls() ? FS_TRUNCATE : 0;
}

static struct ruleset restricted_by(long version, bool network)
{
	struct ruleset all = {0};
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
		if (versions[i].version <= version) {
			all.files |= versions[i].more.files;
			all.net |= versions[i].more.net;
			all.scoped |= versions[i].more.scoped;
		}
	if (network)
		all.net &= ~NET_CONNECT_TCP;
	return all;
}

/* A place that does not exist, or cannot be reached, gets no rule. */
static int allow(int rules, const struct ruleset *restricted, const struct sandbox_place *place)
{
	struct stat st;
	cleanup_close int fd = open(place->path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	struct landlock_path_beneath_attr rule = {.parent_fd = fd, .allowed_access = (rights[place->use] | more_rights(place->use)) & restricted->files};
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_FILES;
	if (rule.allowed_access == 0 || syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
		return 0;
	/* A socket or a pipe need not lie in a directory. */
	return errno == EBADFD ? 0 : -errno;
}

int sandbox_restrict_files(const struct sandbox *sandbox)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 0)
		return -errno;
	const struct ruleset restricted = restricted_by(version, sandbox->network);
	cleanup_close int rules = (int)syscall(SYS_landlock_create_ruleset, &restricted, sizeof restricted, 0);
	if (rules < 0)
		return -errno;
	for (size_t i = 0; i < sandbox->count; i++) {
		int r = allow(rules, &restricted, &sandbox->places[i]);
		if (r < 0)
			return r;
	}
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}
