#include "reply.h"

#include "mount.h"

void reply_error(struct mount *m, fuse_req_t req, int r)
{
	stats_add(&m->stats, errors, 1);
	m->reply->err(req, lack_tell(m, r));
}
