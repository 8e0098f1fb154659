#include "reply.h"

#include "mount.h"

void reply_error(struct mount *m, fuse_req_t req, int r)
{
	const int error = lack_tell(m, r);
	stats_count_error(&m->stats, error);
	m->reply->err(req, error);
}
