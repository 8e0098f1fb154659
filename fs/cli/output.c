#include "output_private.h"

#include "ckfs/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Lines are kept no longer than this, in milliseconds, while others follow. */
#define KEPT_MS 50

#define COLUMNS_USUAL 80
#define COLUMNS_MAX 1000

static unsigned columns_of_terminal(void)
{
	struct winsize size;
	const char *text = getenv("COLUMNS");
	int given = text ? atoi(text) : 0;
	if (given > 0 && given <= COLUMNS_MAX)
		return (unsigned)given;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS_USUAL;
}

/* As https://no-color.org has it. */
static bool wants_colours(void)
{
	const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
	return !(none && *none) && terminal && strcmp(terminal, "dumb") != 0;
}

int output_begin(struct output *out)
{
	*out = (struct output){.bytes = malloc(OUTPUT_BUFFER), .is_terminal = isatty(STDOUT_FILENO)};
	if (!out->bytes)
		return -ENOMEM;
	if (out->is_terminal) {
		out->has_colours = wants_colours();
		out->columns = columns_of_terminal();
	}
	return 0;
}

void output_done(struct output *out)
{
	if (out->bytes)
		output_flush(out);
	free(out->bytes);
	out->bytes = NULL;
}

/* There is nothing that could be left half done. */
static _Noreturn void give_up(int error)
{
	if (error == EPIPE) {
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	fprintf(stderr, "ckfs: standard output: %s\n", strerror(error));
	_exit(1);
}

void output_failed(int error)
{
	struct pollfd ready = {.fd = STDOUT_FILENO, .events = POLLOUT};
	if (error == EAGAIN)
		poll(&ready, 1, -1);
	else if (error != EINTR)
		give_up(error);
}

void output_write(const void *bytes, size_t n)
{
	const char *p = bytes;
	while (n > 0) {
		ssize_t put = write(STDOUT_FILENO, p, n);
		if (put < 0)
			output_failed(errno);
		p += put > 0 ? put : 0;
		n -= put > 0 ? (size_t)put : 0;
	}
}

void output_flush(struct output *out)
{
	output_write(out->bytes, out->length);
	out->length = 0;
	out->flushed = clock_ms();
}

void output_put(struct output *out, const void *bytes, size_t n)
{
	const char *p = bytes;
	while (n > 0) {
		const size_t room = OUTPUT_BUFFER - out->length, piece = n < room ? n : room;
		memcpy(out->bytes + out->length, p, piece);
		out->length += piece;
		p += piece;
		n -= piece;
		if (out->length == OUTPUT_BUFFER)
			output_flush(out);
	}
}

void output_end_line(struct output *out, char end)
{
	output_put(out, &end, 1);
	if (clock_ms() - out->flushed >= KEPT_MS)
		output_flush(out);
}
