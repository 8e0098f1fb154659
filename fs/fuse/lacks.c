#include "lacks.h"

#include "mount.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/log.h"
#include "ckfs/spool.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>

/* A lack that was not met for so many milliseconds is over: the next one is new. */
#define OVER_MS 60000

/* So many lines of one kind are logged within a minute. */
#define LINES_MAX 10
#define MINUTE_MS 60000

/* Which lack an error is; LACKS: none. */
static unsigned kind_of(int r)
{
	switch (r) {
	case -ENOMEM:
	case -ENOBUFS:
		return LACK_MEMORY;
	case -EMFILE:
	case -ENFILE:
		return LACK_DESCRIPTORS;
	case -ENOSPC:
	case SPOOL_UNUSABLE:
		return LACK_SPOOL;
	default:
		return LACKS;
	}
}

bool lack_is(int r)
{
	return kind_of(r) != LACKS;
}

bool lack_begins(struct lacks *lacks, unsigned kind, int error, unsigned number)
{
	int64_t now = clock_ms();
	LOCK(&lacks->lock);
	struct lack *last = &lacks->last[kind];
	bool is = last->error != error || last->number != number || now - last->met > OVER_MS;
	if (is && now - last->minute > MINUTE_MS) {
		last->minute = now;
		last->lines = 0;
	}
	is = is && last->lines++ < LINES_MAX;
	last->error = error;
	last->number = number;
	last->met = now;
	return is;
}

/* Names what ckfs lacks. */
static void explain(struct mount *m, unsigned kind, int error, struct error *ret)
{
	struct rlimit limit;
	if (kind == LACK_SPOOL)
		spool_explain(entries_spool(m->entries)->directory, error, ret);
	else if (error == EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
		error_set(ret, 0, "no descriptor is left: the limit is %llu (ulimit -n)", (unsigned long long)limit.rlim_cur);
	else
		error_set(ret, 0, "%s", kind == LACK_MEMORY ? "no memory is left" : strerror(error));
}

static void tell(struct mount *m, unsigned kind, int error, unsigned number)
{
	struct error why;
	if (!lack_begins(&m->lacks, kind, error, number))
		return;
	explain(m, kind, error, &why);
	log_line(LOG_WARNING, "%s%s", why.text, kind == LACK_SPOOL ? "; values that do not fit into cache_size cannot be shown" : "");
}

int lack_tell(struct mount *m, int r)
{
	const struct spool *spool = entries_spool(m->entries);
	int trouble;
	switch (kind_of(r)) {
	case LACK_MEMORY:
		tell(m, LACK_MEMORY, ENOMEM, 0);
		return ENOMEM;
	case LACK_DESCRIPTORS:
		tell(m, LACK_DESCRIPTORS, -r, 0);
		return EMFILE;
	case LACK_SPOOL:
		/* It may work again by now. */
		trouble = atomic_load(&spool->trouble);
		tell(m, LACK_SPOOL, trouble ? trouble : r == -ENOSPC ? ENOSPC : EIO, atomic_load(&spool->losses));
		return r == -ENOSPC ? ENOSPC : EIO;
	default:
		return -r;
	}
}
