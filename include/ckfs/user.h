#ifndef CKFS_USER_H
#define CKFS_USER_H

/* Gives up root's rights for those of a user, with all groups, for good. 0; -ENOENT: no such user; else a negative errno. */
int user_become(const char *name);

#endif
