/* Names on a terminal: nothing in them steers it, and they stand in columns. */
#ifndef CKFS_CLI_SCREEN_H
#define CKFS_CLI_SCREEN_H

#include "output.h"

#include <stdbool.h>

enum colour { COLOUR_NONE, COLOUR_DIM };

/* Names that wait to be shown in columns. */
struct screen {
	struct output *out;
	struct cell {
		char *name; /* owned */
		unsigned width;
		enum colour colour;
	} *cells;
	unsigned count;
};

/* 0, -ENOMEM. */
int screen_begin(struct output *out, struct screen *ret);

/* Shows what waits, and lets go of it. */
void screen_end(struct screen *screen);

/* Adds a name; shows those that wait when they are many. 0, -ENOMEM. */
int screen_add(struct screen *screen, const char *name, enum colour colour);

/* A name as a terminal may show it: what is not UTF-8, and what is no printable character, as "?". From malloc; NULL: no memory. */
char *screen_text(const char *name, unsigned *ret_width);

/* Text in a colour, where the terminal has any. */
void screen_put(struct output *out, const char *text, enum colour colour);

#endif
