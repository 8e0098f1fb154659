#include "ckfs/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int user_become(const char *name)
{
	const int dumpable = prctl(PR_GET_DUMPABLE);
	errno = 0;
	const struct passwd *user = getpwnam(name);
	if (!user)
		return errno ? -errno : -ENOENT;
	if (user->pw_uid == getuid() && user->pw_uid == geteuid())
		return 0;
	if (initgroups(name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0)
		return -errno;
	/* Whether a core dump may be left is forgotten with the old user. */
	(void)prctl(PR_SET_DUMPABLE, dumpable);
	return setenv("HOME", user->pw_dir, 1) < 0 ? -errno : 0;
}
