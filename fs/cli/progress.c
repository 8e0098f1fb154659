#include "progress.h"

#include "screen.h"

#include "ckfs/clock.h"
#include "ckfs/thread.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What takes less time is not worth a line. */
#define LONG_MS 1000

/* How often the line changes. */
#define NEWS_MS 500

/* So much of a PATH is in the line, which must not go on to a second one. */
#define PATH_SHOWN 48

#define MIB (1u << 20)

static bool has_ended(const struct progress *p, int ms)
{
	struct pollfd end = {.fd = p->end_fd, .events = POLLIN};
	return poll(&end, 1, ms) != 0;
}

static void show(const struct progress *p)
{
	const uint64_t here = entries_decoded_bytes(p->entries);
	char of[32] = "";
	if (here > 0 && here < p->size)
		snprintf(of, sizeof of, "%llu of ", (unsigned long long)(here / MIB));
	fprintf(stderr, "\r\033[Kckfs: %.*s: %s%llu MiB, %lld s", PATH_SHOWN, p->text, of, (unsigned long long)(p->size / MIB), (long long)(clock_ms() - p->began) / 1000);
	fflush(stderr);
}

static void *tell(void *arg)
{
	struct progress *p = arg;
	bool shown = false;
	for (int ms = LONG_MS; !has_ended(p, ms); ms = NEWS_MS) {
		show(p);
		shown = true;
	}
	if (shown)
		fputs("\r\033[K", stderr);
	return NULL;
}

void progress_begin(struct entries *entries, const char *path, const struct entry *entry, struct progress *ret)
{
	unsigned width;
	*ret = (struct progress){.size = entry_stored(entry)->value.length, .began = clock_ms(), .end_fd = -1};
	if (!isatty(STDERR_FILENO))
		return;
	ret->entries = entries;
	ret->text = screen_text(path, &width);
	ret->end_fd = ret->text ? eventfd(0, EFD_CLOEXEC) : -1;
	if (ret->end_fd < 0 || thread_start(&ret->thread, tell, ret) < 0) {
		ret->entries = NULL;
		progress_end(ret);
	}
}

void progress_end(struct progress *progress)
{
	const uint64_t one = 1;
	if (progress->entries && write(progress->end_fd, &one, sizeof one) == sizeof one)
		pthread_join(progress->thread, NULL);
	if (progress->end_fd >= 0)
		close(progress->end_fd);
	free(progress->text);
	*progress = (struct progress){.end_fd = -1};
}
