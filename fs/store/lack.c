#include "ckfs/lack.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

unsigned lack_kind(int r)
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
		return LACK_KINDS;
	}
}

bool lack_is(int r)
{
	return lack_kind(r) != LACK_KINDS;
}

int lack_errno(int r)
{
	switch (lack_kind(r)) {
	case LACK_MEMORY:
		return ENOMEM;
	case LACK_DESCRIPTORS:
		return EMFILE;
	case LACK_SPOOL:
		return r == -ENOSPC ? ENOSPC : EIO;
	default:
		return -r;
	}
}

int lack_cause(const struct spool *spool, int r)
{
	/* It may work again by now. */
	const int trouble = atomic_load(&spool->trouble);
	const unsigned kind = lack_kind(r);
	return kind == LACK_SPOOL && trouble ? trouble : kind == LACK_DESCRIPTORS ? -r : lack_errno(r);
}

void lack_explain(const struct spool *spool, unsigned kind, int cause, struct error *ret)
{
	struct rlimit limit;
	if (kind == LACK_SPOOL)
		spool_explain(spool->directory, cause, ret);
	else if (cause == EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
		error_set(ret, 0, "no descriptor is left: the limit is %llu (ulimit -n)", (unsigned long long)limit.rlim_cur);
	else
		error_set(ret, 0, "%s", kind == LACK_MEMORY ? "no memory is left" : strerror(cause));
}
