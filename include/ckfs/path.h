/* Paths of files that options name. */
#ifndef CKFS_PATH_H
#define CKFS_PATH_H

/*
 * The path from the root: the daemon changes its directory, so what a path means is settled when it is read. A link in it is not followed for
 * good, since whoever renews the file may let it point elsewhere. 0, -errno. The caller frees it.
 */
int path_absolute(const char *path, char **ret);

/* Which descriptor the path names (/dev/stdin, /dev/fd/N, /proc/self/fd/N); -1: it is another file. */
int path_descriptor(const char *path);

/*
 * Opens a file to read it. What names a descriptor is that very one, as a shell has it: a socket, or another user's pipe, cannot be opened a
 * second time. The descriptor; -errno.
 */
int path_open(const char *path);

#endif
