#include "ckfs/learnt.h"

#include "ckfs/table.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LOGGED_MAX 4

struct record {
	struct table_node node;
	struct version version;
	bool has_verdict, has_json;
	struct verdict verdict;
	struct rendered json;
	int logged[LOGGED_MAX]; /* errors, 0: free */
	struct record *younger;
};

struct learnt {
	pthread_mutex_t lock;
	/* protected by lock */
	struct table by_version;
	struct record *oldest, *youngest;
};

static uint64_t version_short(const struct version *version)
{
	uint64_t h;
	memcpy(&h, version->id, sizeof h);
	return h;
}

int learnt_new(struct learnt **ret)
{
	struct learnt *learnt = calloc(1, sizeof *learnt);
	if (!learnt || table_init(&learnt->by_version) < 0) {
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
	table_remove(&learnt->by_version, &r->node);
	free(r);
}

void learnt_clear(struct learnt *learnt)
{
	pthread_mutex_lock(&learnt->lock);
	while (learnt->oldest)
		forget_oldest(learnt);
	pthread_mutex_unlock(&learnt->lock);
}

void learnt_free(struct learnt *learnt)
{
	if (!learnt)
		return;
	learnt_clear(learnt);
	table_done(&learnt->by_version);
	pthread_mutex_destroy(&learnt->lock);
	free(learnt);
}

static struct record *find(const struct learnt *learnt, const struct version *version)
{
	struct table_node *node = table_first(&learnt->by_version, version_short(version));
	for (; node; node = table_next(node)) {
		struct record *r = container_of(node, struct record, node);
		if (version_equal(&r->version, version))
			return r;
	}
	return NULL;
}

/* The record of a version, made if need be; NULL without memory. */
static struct record *record_of(struct learnt *learnt, const struct version *version)
{
	struct record *r = find(learnt, version);
	if (r)
		return r;
	r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	if (learnt->by_version.count >= LEARNT_MAX)
		forget_oldest(learnt);
	r->version = *version;
	table_add(&learnt->by_version, &r->node, version_short(version));
	if (learnt->youngest)
		learnt->youngest->younger = r;
	else
		learnt->oldest = r;
	learnt->youngest = r;
	return r;
}

void learnt_put(struct learnt *learnt, const struct version *version, const struct verdict *verdict)
{
	pthread_mutex_lock(&learnt->lock);
	struct record *r = record_of(learnt, version);
	if (r) {
		r->has_verdict = true;
		r->verdict = *verdict;
	}
	pthread_mutex_unlock(&learnt->lock);
}

bool learnt_get(struct learnt *learnt, const struct version *version, struct verdict *ret)
{
	pthread_mutex_lock(&learnt->lock);
	const struct record *r = find(learnt, version);
	bool known = r && r->has_verdict;
	if (known)
		*ret = r->verdict;
	pthread_mutex_unlock(&learnt->lock);
	return known;
}

void learnt_put_json(struct learnt *learnt, const struct version *version, const struct rendered *rendered)
{
	pthread_mutex_lock(&learnt->lock);
	struct record *r = record_of(learnt, version);
	if (r) {
		r->has_json = true;
		r->json = *rendered;
	}
	pthread_mutex_unlock(&learnt->lock);
}

bool learnt_get_json(struct learnt *learnt, const struct version *version, struct rendered *ret)
{
	pthread_mutex_lock(&learnt->lock);
	const struct record *r = find(learnt, version);
	bool known = r && r->has_json;
	if (known)
		*ret = r->json;
	pthread_mutex_unlock(&learnt->lock);
	return known;
}

bool learnt_first_error(struct learnt *learnt, const struct version *version, int error)
{
	bool first = true;
	pthread_mutex_lock(&learnt->lock);
	struct record *r = record_of(learnt, version);
	for (size_t i = 0; r && i < LOGGED_MAX; i++) {
		if (r->logged[i] == error) {
			first = false;
			break;
		}
		if (r->logged[i] == 0) {
			r->logged[i] = error;
			break;
		}
	}
	pthread_mutex_unlock(&learnt->lock);
	return first;
}
