#include "screen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

/* So many names have the columns of their own; then other ones begin, so that a long listing is seen while it is read. */
#define CELLS_MAX 512

/* Between two columns. */
#define GAP 2

int screen_begin(struct output *out, struct screen *ret)
{
	*ret = (struct screen){.out = out, .cells = calloc(CELLS_MAX, sizeof *ret->cells)};
	return ret->cells ? 0 : -ENOMEM;
}

char *screen_text(const char *name, unsigned *ret_width)
{
	const size_t length = strlen(name);
	char *text = malloc(length + 1), *to = text;
	mbstate_t state = {0};
	*ret_width = 0;
	for (size_t i = 0, n; text && i < length; i += n) {
		wchar_t c;
		n = mbrtowc(&c, name + i, length - i, &state);
		const bool is_one = n > 0 && n <= length - i && iswprint((wint_t)c) && wcwidth(c) >= 0;
		if (!is_one) {
			n = n > 0 && n <= length - i ? n : 1;
			state = (mbstate_t){0};
			*to++ = '?';
			++*ret_width;
		} else {
			memcpy(to, name + i, n);
			to += n;
			*ret_width += (unsigned)wcwidth(c);
		}
	}
	if (text)
		*to = '\0';
	return text;
}

void screen_put(struct output *out, const char *text, enum colour colour)
{
	static const char *const codes[] = {[COLOUR_DIM] = "\033[2m"}, end[] = "\033[0m";
	const bool coloured = out->has_colours && colour != COLOUR_NONE;
	if (coloured)
		output_put(out, codes[colour], strlen(codes[colour]));
	output_put(out, text, strlen(text));
	if (coloured)
		output_put(out, end, sizeof end - 1);
}

int screen_add(struct screen *screen, const char *name, enum colour colour)
{
	struct cell cell = {.colour = colour};
	if (screen->count == CELLS_MAX)
		screen_end(screen);
	if (!screen->cells) {
		int r = screen_begin(screen->out, screen);
		if (r < 0)
			return r;
	}
	cell.name = screen_text(name, &cell.width);
	if (!cell.name)
		return -ENOMEM;
	screen->cells[screen->count++] = cell;
	return 0;
}

/* How wide a column of `rows` names is. */
static unsigned width_of_column(const struct screen *screen, unsigned column, unsigned rows)
{
	unsigned width = 0;
	for (unsigned i = column * rows; i < (column + 1) * rows && i < screen->count; i++)
		width = screen->cells[i].width > width ? screen->cells[i].width : width;
	return width;
}

static bool fits(const struct screen *screen, unsigned rows)
{
	unsigned total = 0;
	for (unsigned column = 0; column * rows < screen->count; column++)
		total += width_of_column(screen, column, rows) + (column ? GAP : 0);
	return total <= screen->out->columns;
}

static void show_row(struct screen *screen, unsigned row, unsigned rows)
{
	for (unsigned column = 0, i = row; i < screen->count; column++, i += rows) {
		const struct cell *cell = &screen->cells[i];
		screen_put(screen->out, cell->name, cell->colour);
		const unsigned wide = i + rows < screen->count ? width_of_column(screen, column, rows) + GAP : 0;
		for (unsigned at = cell->width; at < wide; at++)
			output_put(screen->out, " ", 1);
	}
	output_put(screen->out, "\n", 1);
}

/* As few rows as the terminal is wide enough for, filled from top to bottom. */
void screen_end(struct screen *screen)
{
	unsigned rows = 1;
	while (rows < screen->count && !fits(screen, rows))
		rows++;
	for (unsigned row = 0; row < rows && row < screen->count; row++)
		show_row(screen, row, rows);
	output_flush(screen->out);
	for (unsigned i = 0; i < screen->count; i++)
		free(screen->cells[i].name);
	free(screen->cells);
	*screen = (struct screen){.out = screen->out};
}
