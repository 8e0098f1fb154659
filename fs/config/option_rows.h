/* The options of -o, one row each. For a new option add a row here and a paragraph in the manual: a test compares the two. */
#ifndef CKFS_OPTION_ROWS_H
#define CKFS_OPTION_ROWS_H

#include "ckfs/options.h"

#include <stddef.h>

struct option_row {
	const char *name;  /* with "=" when it takes a value */
	const char *value; /* what the value is; "" or NULL: none */
	const char *help;  /* NULL: not shown */
	int (*set)(struct options *options, const char *value);
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;

/* Whether an option is one of mount(8) that changes nothing here. */
bool option_is_ignored(const char *option);

/* The row of an option as it was given, with its value; NULL: none. */
const struct option_row *option_row_find(const char *option);

#endif
