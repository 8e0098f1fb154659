/* A file with a secret: checks who may have access, and reads its text into memory that is locked and wiped. Any thread may call. */
#ifndef CKFS_SECRET_FILE_H
#define CKFS_SECRET_FILE_H

#include "ckfs/cleanup.h"
#include "ckfs/error.h"

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>

/* What a file is for, in words for error messages. */
struct secret_kind {
	const char *option; /* "password_file" */
	const char *what;   /* "password" */
	size_t max;         /* it is no longer than this */
};

struct secret {
	char *text; /* from sodium_malloc, ends with a NUL and holds no other; NULL: none */
	bool once;  /* it came from a pipe or from a descriptor, and cannot be read again */
};

/*
 * Reads the whole file: what stands at `path` now, links and all. It is a regular file or a pipe.
 * Others have no right to it; its group may read it when root owns it, since a group is all that Kubernetes can give a pod. A pipe is waited
 * for until it is closed; `again`: it was read before, and now a pipe is refused.
 * 0; -EACCES others may have access; -EINVAL neither file nor pipe, empty, too long, or with a NUL; -errno; with the error set, which holds no
 * secret.
 */
int secret_file_read(const char *path, const struct secret_kind *kind, bool again, struct secret *ret, struct error *error);

/* Wipes and frees the text. */
static inline void secret_done(struct secret *secret)
{
	sodium_free(secret->text);
	secret->text = NULL;
}

#define cleanup_secret cleanup_with(secret_done)

#endif
