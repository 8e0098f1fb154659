#include "lacks.h"

#include "mount.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/log.h"
#include "ckfs/spool.h"

#include <syslog.h>

/* A lack that was not met for so many milliseconds is over: the next one is new. */
#define OVER_MS 60000

/* So many lines of one kind are logged within a minute. */
#define LINES_MAX 10
#define MINUTE_MS 60000

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

static void tell(struct mount *m, unsigned kind, int error, unsigned number)
{
	struct error why;
	if (!lack_begins(&m->lacks, kind, error, number))
		return;
	lack_explain(entries_spool(m->entries), kind, error, &why);
	log_line(LOG_WARNING, "%s%s", why.text, kind == LACK_SPOOL ? "; values that do not fit into cache_size cannot be shown" : "");
}

int lack_tell(struct mount *m, int r)
{
	const struct spool *spool = entries_spool(m->entries);
	const unsigned kind = lack_kind(r);
	if (kind != LACK_KINDS)
		tell(m, kind, lack_cause(spool, r), kind == LACK_SPOOL ? atomic_load(&spool->losses) : 0);
	return lack_errno(r);
}
