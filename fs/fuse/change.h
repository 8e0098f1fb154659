/* Changes of what is stored. */
#ifndef CKFS_FUSE_CHANGE_H
#define CKFS_FUSE_CHANGE_H

/* xattr.c: the number of an attribute by its whole name; ATTRIBUTE_COUNT: it is none of ours. */
unsigned find_attribute(const char *name);

#endif
