/* Standard output. Nobody reads on: the process ends silently, as by SIGPIPE. Any other failure ends it with one line and status 1. */
#ifndef CKFS_CLI_OUTPUT_H
#define CKFS_CLI_OUTPUT_H

#include "ckfs/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTPUT_BUFFER ((size_t)64 << 10)

struct output {
	char *bytes; /* of OUTPUT_BUFFER */
	size_t length;
	int64_t flushed;     /* monotonic ms; 0: nothing yet */
	bool is_terminal;
	bool has_colours;
	unsigned columns;    /* of the terminal */
};

/* Before there is a sandbox. 0, -ENOMEM. */
int output_begin(struct output *out);
void output_done(struct output *out);

/* Kept until there is enough. */
void output_put(struct output *out, const void *bytes, size_t n);

/* The end of a line: who waits for it sees it soon. */
void output_end_line(struct output *out, char end);
void output_flush(struct output *out);

/* All of a content, without a copy where that is possible. 0; -EIO, -errno it cannot be read. */
int output_send(struct output *out, const struct content *content);

#endif
