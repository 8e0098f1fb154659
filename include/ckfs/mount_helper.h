/* mount(8) and fstab call ckfs by the name of the type: mount.ckfs, mount.fuse.ckfs. */
#ifndef CKFS_MOUNT_HELPER_H
#define CKFS_MOUNT_HELPER_H

#include <stdbool.h>

/* Whether it is mount(8) that calls, by the name of the program. */
bool mount_helper_is_called(const char *program);

/*
 * Takes what only mount(8) says (-n, -v, -s, -t TYPE) out of the arguments: SOURCE, MOUNTPOINT and -o are left. Returns their new number.
 * *ret_trial: nothing is to be mounted (mount -f).
 */
int mount_helper_take(int argc, char **argv, bool *ret_trial);

#endif
