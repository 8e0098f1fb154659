/* What went wrong before the mount serves, in one line for a person: what, and what to do. */
#ifndef CKFS_ERROR_H
#define CKFS_ERROR_H

struct error {
	char text[512];
};

/* Fills the text and returns r (a negative errno), so that it can be returned in one step. */
int error_set(struct error *error, int r, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
