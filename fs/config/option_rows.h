/* The options of -o, one row each. Whoever adds an option adds a row, and the manual, which is tested against the help. */
#ifndef CKFS_OPTION_ROWS_H
#define CKFS_OPTION_ROWS_H

#include "ckfs/options.h"

#include <stddef.h>

struct option_row {
	const char *name;  /* with "=" when it takes a value */
	const char *value; /* what the value is; "" or NULL: none */
	const char *help;  /* NULL: not shown; the option is known and refused */
	int (*set)(struct options *options, const char *value);
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;

/* Whether an option is one of mount(8) that changes nothing here. */
bool option_is_ignored(const char *option);

/* The row of an option as it was given, with its value; NULL: none. */
const struct option_row *option_row_find(const char *option);

#endif
