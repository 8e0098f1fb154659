/* LOOKUP: where freshness is decided. Names live in the kernel for no time at all. */
#include "attr.h"
#include "control.h"
#include "forget.h"
#include "lookup.h"
#include "operations.h"

#include "ckfs/attributes.h"
#include "ckfs/name.h"
#include "ckfs/view_name.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <xxhash.h>

static void reply_directory(struct mount *m, fuse_req_t req, uint64_t id)
{
	struct fuse_entry_param e = entry_param(m, id);
	e.entry_timeout = FOREVER;
	e.attr_timeout = m->options->listed_ttl;
	attr_of_directory(m, id, &e.attr);
	m->reply->entry(req, &e);
}

/* Answers a name that is the mount's own. */
static bool reply_own_name(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (parent == INODE_CONTROL) {
		control_lookup(m, req, name);
		return true;
	}
	if (parent != INODE_ROOT)
		return false;
	if (strcmp(name, NAME_OF_CONTROL) == 0) {
		reply_directory(m, req, INODE_CONTROL);
		return true;
	}
	for (unsigned i = 1; i < VIEW_COUNT; i++)
		if (strcmp(name, views[i]->name) == 0) {
			reply_directory(m, req, INODE_ROOT + i);
			return true;
		}
	return false;
}

struct lookup {
	struct request request;
	struct found found; /* its entry is the request's */
	const char *reason; /* why the view does not show it; NULL: errno says it */
	uint64_t hash;      /* of the name */
	char name[NAME_MAX + 1];
};

/* How find_name() finds. */
struct finding {
	struct mount *m;
	unsigned view_id;
	struct found found;
};

/* After an ESTALE the value is found whole, so that it cannot change between its head and its rest. */
static int find(void *arg, const struct key *key, const atomic_bool *cancel, struct entry **ret)
{
	struct finding *f = arg;
	struct mount *m = f->m;
	struct found *found = &f->found;
	found->promised = retry_is_due(&m->retries, &key->hash);
	found->own = f->view_id == VIEW_FRAME && retry_of_writer_is_due(&m->retries);
	*ret = found->promised ? NULL : entries_found_lately(m->entries, &key->hash);
	found->recalled = *ret;
	return found->recalled ? 0 : entries_find(m->entries, key, found->promised, cancel, ret);
}

int find_name(struct mount *m, unsigned view_id, const char *name, const atomic_bool *cancel, struct found *ret)
{
	struct finding f = {.m = m, .view_id = view_id};
	int r = view_find_name(views[view_id], m->entries, name, find, &f, cancel, &f.found.entry);
	*ret = f.found;
	return r;
}

/* What is made afresh tells of the expiry: where nobody knows it yet, its size hangs on it. What else it tells, it tells also without. */
static int ask_name(struct request *request)
{
	struct lookup *l = container_of(request, struct lookup, request);
	int r = find_name(request->m, request->view_id, l->name, &request->cancelled, &l->found);
	if (r == 0)
		request->entry = l->found.entry;
	if (r == 0 && views[request->view_id]->afresh && entry_expires(request->entry) == EXPIRES_UNKNOWN)
		entry_ask_expires(request->entry);
	return r;
}

static int judge_found(struct request *request, int r)
{
	struct lookup *l = container_of(request, struct lookup, request);
	const struct view *view = views[request->view_id];
	if (r == 0 && !view->shows_failing)
		r = view->status(request->entry, request->level, &l->reason);
	return view_check_tells_more(request->entry, request->level, r) ? LEVEL_CHECKED : r;
}

static void reply_found(struct lookup *l, struct inode *inode)
{
	struct mount *m = l->request.m;
	struct fuse_entry_param e = entry_param(m, inode->id);
	e.attr_timeout = views[l->request.view_id]->afresh ? 0 : FOREVER;
	attr_of_inode(m, inode, &e.attr);
	inode->has_header = attributes_have_header(l->request.entry);
	inode->recalled = l->found.recalled;
	if (l->found.promised)
		retry_promise(&m->retries, inode->id, l->request.entry);
	entry_keep(l->request.entry);
	if (m->reply->entry(l->request.req, &e) == -ENOENT)
		inode_let_go(m, e.ino, 1);
}

static void answer_lookup(struct request *request, int r)
{
	struct lookup *l = container_of(request, struct lookup, request);
	struct mount *m = request->m;
	struct entry *entry = request->entry;
	uint64_t size = 0;
	struct inode *inode;
	if (r == 0)
		r = view_size(views[request->view_id], entry, &size);
	if (r == 0)
		r = (l->found.own ? inodes_enter_own : inodes_enter)(m->inodes, request->view_id, entry_goes_by_text(entry), l->found.promised, entry_key(entry), entry_stored(entry), size, &inode);
	if (r == -ETIMEDOUT)
		timeouts_note(&m->timeouts, l->hash);
	if (r == 0)
		reply_found(l, inode);
	else if (r == -ENOENT && !entry)
		m->reply->err(request->req, ENOENT);
	else
		request_fail(request, r, l->reason);
}

static const struct request_kind lookup_kind = {.size = sizeof(struct lookup), .ask = ask_name, .judge = judge_found, .answer = answer_lookup};

void ckfs_lookup(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	stats_add(&m->stats, lookups, 1);
	retry_looks_up(&m->retries, m->reply->thread(req));
	if (reply_own_name(m, req, parent, name))
		return;
	if (parent >= INODE_ROOT + VIEW_COUNT) {
		m->reply->err(req, ENOTDIR);
		return;
	}
	if (strlen(name) > NAME_MAX) {
		m->reply->err(req, ENAMETOOLONG);
		return;
	}
	struct lookup l = {.request = {.kind = &lookup_kind, .m = m, .req = req, .view_id = (unsigned)(parent - INODE_ROOT)}};
	l.request.level = views[l.request.view_id]->size_level;
	l.hash = XXH3_64bits_withSeed(name, strlen(name), parent);
	if (m->backend->ops->remote && timeouts_take(&m->timeouts, l.hash)) {
		reply_error(m, req, -ETIMEDOUT);
		return;
	}
	strcpy(l.name, name);
	request_start(&l.request);
}
