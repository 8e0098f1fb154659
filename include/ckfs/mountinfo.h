/* /proc/self/mountinfo, line by line. */
#ifndef CKFS_MOUNTINFO_H
#define CKFS_MOUNTINFO_H

#include <stdbool.h>
#include <sys/types.h>

/* One mount. The texts lie in the line that was parsed, without escapes. */
struct mountinfo {
	dev_t device;
	const char *root;    /* what of its filesystem is mounted */
	const char *point;   /* on what */
	const char *type;
	const char *options; /* of its filesystem, with commas between them */
};

/* Parses a line in place. False: it is malformed, and *ret is untouched. */
bool mountinfo_parse(char *line, struct mountinfo *ret);

#endif
