/* A line on a terminal while one waits long for an entry. */
#ifndef CKFS_CLI_PROGRESS_H
#define CKFS_CLI_PROGRESS_H

#include "ckfs/entry.h"

#include <pthread.h>
#include <stdbool.h>

struct progress {
	struct entries *entries; /* NULL: there is no terminal, and nothing to be done */
	char *text;              /* what is waited for, as a terminal may show it; owned */
	uint64_t size;           /* bytes of the stored value */
	int64_t began;           /* monotonic ms */
	int end_fd;              /* told at the end */
	pthread_t thread;
};

/* Begins to wait for an entry, whose PATH this is. Where there is no thread to be had, there is no line. */
void progress_begin(struct entries *entries, const char *path, const struct entry *entry, struct progress *ret);

/* Takes the line away. */
void progress_end(struct progress *progress);

#endif
