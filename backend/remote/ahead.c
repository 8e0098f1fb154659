#include "ahead.h"

#include "ckfs/table.h"

static void run(struct work *work)
{
	struct ahead *a = container_of(work, struct ahead, work);
	a->r = a->ask(a, &a->cancel);
	event_tell(&a->returned);
}

void ahead_begin(struct ahead *ahead, struct work_pool *pool, int (*ask)(struct ahead *ahead, const atomic_bool *cancel))
{
	*ahead = (struct ahead){.pool = pool, .work.run = run, .ask = ask};
	event_init(&ahead->returned, false);
	work_submit(pool, &ahead->work);
}

int ahead_wait(struct ahead *ahead, const atomic_bool *cancel, int *ret)
{
	if (work_withdraw(ahead->pool, &ahead->work)) {
		event_done(&ahead->returned);
		return 1;
	}
	int r = event_take(&ahead->returned, cancel);
	if (r < 0)
		return r;
	*ret = r == 1 ? ahead->r : 0;
	event_done(&ahead->returned);
	return 0;
}

void ahead_drop(struct ahead *ahead)
{
	atomic_store(&ahead->cancel, true);
	if (!work_withdraw(ahead->pool, &ahead->work))
		event_take(&ahead->returned, NULL);
	event_done(&ahead->returned);
}
