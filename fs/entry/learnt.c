#include "learnt.h"

#include "ckfs/cleanup.h"
#include "ckfs/table.h"

#include <errno.h>
#include <pthread.h>

#define LOGGED_MAX 4

struct record {
	struct table_node node;
	struct entry_id id;
	bool has_verdict, has_rendered[RENDERING_COUNT];
	struct verdict verdict;
	struct rendered rendered[RENDERING_COUNT];
	int logged[LOGGED_MAX]; /* errors, 0: free */
	struct record *younger;
};

struct learnt {
	pthread_mutex_t lock;
	/* protected by lock */
	struct table by_id;
	struct record *oldest, *youngest;
};

int learnt_new(struct learnt **ret)
{
	struct learnt *learnt = calloc(1, sizeof *learnt);
	if (!learnt || table_init(&learnt->by_id) < 0) {
		free(learnt);
		return -ENOMEM;
	}
	pthread_mutex_init(&learnt->lock, NULL);
	*ret = learnt;
	return 0;
}

static void forget_oldest(struct learnt *learnt)
{
	struct record *r = learnt->oldest;
	learnt->oldest = r->younger;
	if (!learnt->oldest)
		learnt->youngest = NULL;
	table_remove(&learnt->by_id, &r->node);
	free(r);
}

void learnt_clear(struct learnt *learnt)
{
	LOCK(&learnt->lock);
	while (learnt->oldest)
		forget_oldest(learnt);
}

void learnt_free(struct learnt *learnt)
{
	if (!learnt)
		return;
	learnt_clear(learnt);
	table_done(&learnt->by_id);
	pthread_mutex_destroy(&learnt->lock);
	free(learnt);
}

static struct record *find(const struct learnt *learnt, const struct entry_id *id)
{
	struct table_node *node = table_first(&learnt->by_id, entry_id_short(id));
	for (; node; node = table_next(node)) {
		struct record *r = container_of(node, struct record, node);
		if (entry_id_equal(&r->id, id))
			return r;
	}
	return NULL;
}

/* The record of an entry, made if need be; NULL without memory. */
static struct record *record_of(struct learnt *learnt, const struct entry_id *id)
{
	struct record *r = find(learnt, id);
	if (r)
		return r;
	r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	if (learnt->by_id.count >= LEARNT_MAX)
		forget_oldest(learnt);
	r->id = *id;
	table_add(&learnt->by_id, &r->node, entry_id_short(id));
	if (learnt->youngest)
		learnt->youngest->younger = r;
	else
		learnt->oldest = r;
	learnt->youngest = r;
	return r;
}

void learnt_put(struct learnt *learnt, const struct entry_id *id, const struct verdict *verdict)
{
	LOCK(&learnt->lock);
	struct record *r = record_of(learnt, id);
	if (r) {
		r->has_verdict = true;
		r->verdict = *verdict;
	}
}

bool learnt_get(struct learnt *learnt, const struct entry_id *id, struct verdict *ret)
{
	LOCK(&learnt->lock);
	const struct record *r = find(learnt, id);
	bool known = r && r->has_verdict;
	if (known)
		*ret = r->verdict;
	return known;
}

void learnt_put_rendered(struct learnt *learnt, const struct entry_id *id, enum rendering rendering, const struct rendered *rendered)
{
	LOCK(&learnt->lock);
	struct record *r = record_of(learnt, id);
	if (r) {
		r->has_rendered[rendering] = true;
		r->rendered[rendering] = *rendered;
	}
}

bool learnt_get_rendered(struct learnt *learnt, const struct entry_id *id, enum rendering rendering, struct rendered *ret)
{
	LOCK(&learnt->lock);
	const struct record *r = find(learnt, id);
	bool known = r && r->has_rendered[rendering];
	if (known)
		*ret = r->rendered[rendering];
	return known;
}

bool learnt_first_error(struct learnt *learnt, const struct entry_id *id, int error)
{
	LOCK(&learnt->lock);
	struct record *r = record_of(learnt, id);
	for (size_t i = 0; r && i < LOGGED_MAX; i++) {
		if (r->logged[i] == error)
			return false;
		if (r->logged[i] == 0) {
			r->logged[i] = error;
			return true;
		}
	}
	return true;
}
