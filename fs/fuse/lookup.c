/* LOOKUP: where freshness is decided. Names live in the kernel for no time at all. */
#include "attr.h"
#include "control.h"
#include "forget.h"
#include "lookup.h"
#include "operations.h"

#include "ckfs/cleanup.h"
#include "ckfs/name.h"

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

/* After an ESTALE the value is found whole, so that it cannot change between its head and its rest. */
static int find(struct mount *m, unsigned view_id, const struct key *key, const atomic_bool *cancel, struct found *ret)
{
	ret->promised = retry_is_due(&m->retries, RETRY_TO_READ, &key->hash);
	ret->own = view_id == VIEW_FRAME && retry_is_due(&m->retries, RETRY_TO_WRITE, &key->hash);
	ret->entry = ret->promised ? NULL : entries_found_lately(m->entries, &key->hash);
	ret->recalled = ret->entry;
	return ret->recalled ? 0 : entries_find(m->entries, key, ret->promised, cancel, &ret->entry);
}

/* Finds the entry of a name without extension. The name may be a hash, where only hashes are stored and there is such an entry; else it is a key. */
static int find_by_name(struct mount *m, unsigned view_id, const char *name, size_t length, const atomic_bool *cancel, struct found *ret)
{
	struct key key;
	struct key_hash hash;
	if (!m->backend->ops->stores_keys && key_hash_from_hex(name, length, &hash)) {
		key_from_hash(&hash, &key);
		int r = find(m, view_id, &key, cancel, ret);
		if (r != -ENOENT)
			return r;
	}
	int r = name_to_key(name, length, view_has_name, &key);
	if (r < 0)
		return r;
	bool cut = !key.text;
	r = find(m, view_id, &key, cancel, ret);
	key_done(&key);
	/* A cut name carries the hash of its key. If the key is known, the beginning of the name has to be the key's, too. */
	if (r == 0 && cut && entry_key(ret->entry)->text && !name_is_of_key(name, length, entry_key(ret->entry), view_has_name)) {
		entry_unref(steal(ret->entry));
		return -ENOENT;
	}
	return r;
}

/* Takes the name without its extension first, then as it stands. */
int find_name(struct mount *m, unsigned view_id, const char *name, const atomic_bool *cancel, struct found *ret)
{
	const char *suffix = views[view_id]->extension;
	size_t length = strlen(name), extension = strlen(suffix);
	if (extension > 0 && length > extension && strcmp(name + length - extension, suffix) == 0) {
		int r = find_by_name(m, view_id, name, length - extension, cancel, ret);
		if (r != -ENOENT)
			return r;
	}
	return find_by_name(m, view_id, name, length, cancel, ret);
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
	e.attr_timeout = views[l->request.view_id]->afresh || inode->own ? 0 : FOREVER;
	attr_of_inode(m, inode, &e.attr);
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
