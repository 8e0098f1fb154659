/*
 * A tmpfs of its own, which is mounted nowhere: nobody else can open its files. Those of memfd_create() have small pages, unless the system is told otherwise
 * (shmem_enabled), and touching, reading and mapping these takes two to six times as long.
 */
#include "spool_private.h"

#include "ckfs/cleanup.h"

#include <limits.h>
#include <linux/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of the descriptors that the process may have, content keeps one in so many. */
#define SHARE 4

static long set_string(int context, const char *name, const char *value)
{
	return syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, name, value, 0);
}

/* What may be used is what cache_size says, so there is no limit of its own. */
static int open_tmpfs(void)
{
	cleanup_close int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (context < 0 || set_string(context, "huge", "within_size") < 0 || set_string(context, "size", "0") < 0 || set_string(context, "mode", "0700") < 0 ||
		syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

void spool_open_huge(struct spool *spool)
{
	struct rlimit limit;
	const int directory = open_tmpfs();
	spool->huge = directory < 0 ? 0 : directory;
	spool->backings_max = getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : limit.rlim_cur < UINT_MAX ? (unsigned)limit.rlim_cur / SHARE : UINT_MAX / SHARE;
}

void spool_close_huge(struct spool *spool)
{
	if (spool->huge)
		close(spool->huge);
	spool->huge = 0;
}
