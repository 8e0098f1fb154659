/* LOOKUP: where freshness is decided. Names live in the kernel for no time at all. */
#include "control.h"
#include "errand.h"
#include "pending.h"

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
	fuse_reply_entry(req, &e);
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
	if (strcmp(name, ".ckfs") == 0) {
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

/* The entry that a name without extension means: where only hashes are stored a hash if there is such an entry, else a key. */
static int find_by_name(struct mount *m, const char *name, size_t length, bool whole, const atomic_bool *cancel, struct entry **ret)
{
	struct key key;
	struct key_hash hash;
	struct entry *entry;
	if (!m->backend->ops->stores_keys && key_hash_from_hex(name, length, &hash)) {
		key_from_hash(&hash, &key);
		int r = entries_find(m->entries, &key, whole, cancel, ret);
		if (r != -ENOENT)
			return r;
	}
	int r = name_to_key(name, length, &key);
	if (r < 0)
		return r;
	bool cut = !key.text;
	r = entries_find(m->entries, &key, whole, cancel, &entry);
	key_done(&key);
	if (r < 0)
		return r;
	/* A cut name carries its hash; its beginning is checked as soon as the key is known. */
	if (cut && entry_key(entry)->text && !name_is_of_key(name, length, entry_key(entry))) {
		entry_unref(entry);
		return -ENOENT;
	}
	*ret = entry;
	return 0;
}

/* With the extension first, then the name as it stands. */
static int find_in_view(struct mount *m, const struct view *view, const char *name, bool whole, const atomic_bool *cancel, struct entry **ret)
{
	size_t length = strlen(name), extension = strlen(view->extension);
	if (extension > 0 && length > extension && strcmp(name + length - extension, view->extension) == 0) {
		int r = find_by_name(m, name, length - extension, whole, cancel, ret);
		if (r != -ENOENT)
			return r;
	}
	return find_by_name(m, name, length, whole, cancel, ret);
}

/* A document that makes no sense may simply be altered: its checksum tells, where it has one. */
static bool check_tells_more(const struct pending *p, int r)
{
	return p->level < LEVEL_CHECKED && (r == -EUCLEAN || r == -EOPNOTSUPP) && document_has_check(entry_document(p->entry));
}

static void finish_lookup(struct pending *p, int r)
{
	struct mount *m = p->m;
	const struct view *view = views[p->view_id];
	const char *reason = NULL;
	uint64_t size = 0;
	struct inode *inode;
	if (r == 0 && !view->shows_failing)
		r = view->status(p->entry, p->level, &reason);
	if (check_tells_more(p, r)) {
		pending_go_on(p, LEVEL_CHECKED);
		return;
	}
	if (r == 0)
		r = view_size(view, p->entry, &size);
	if (r == 0)
		r = inodes_enter(m->inodes, p->view_id, entry_key(p->entry), entry_stored(p->entry), size, &inode);
	if (r < 0) {
		retry_found(&m->retries, p->pid, 0, NULL);
		if (r == -ETIMEDOUT)
			timeouts_note(&m->timeouts, p->pid, p->name);
		pending_fail(p, r, reason);
		return;
	}
	struct fuse_entry_param e = entry_param(m, inode->id);
	e.attr_timeout = view->afresh ? 0 : FOREVER;
	attr_of_inode(m, inode, &e.attr);
	retry_found(&m->retries, p->pid, inode->id, p->entry);
	entry_keep(p->entry);
	if (fuse_reply_entry(p->req, &e) == -ENOENT)
		inodes_forget(m->inodes, e.ino, 1);
}

struct lookup {
	struct errand errand;
	unsigned view_id;
	struct entry *entry; /* a reference */
	uint64_t hash;       /* of the name */
	char name[NAME_MAX + 1];
};

static int ask_name(struct errand *errand)
{
	struct lookup *l = container_of(errand, struct lookup, errand);
	/* Who comes back from an ESTALE must not meet one that changes between its head and its rest. */
	bool whole = retry_is_due(&errand->m->retries, errand->pid);
	return find_in_view(errand->m, views[l->view_id], l->name, whole, &errand->cancelled, &l->entry);
}

static void finish_name(struct errand *errand, int r)
{
	struct lookup *l = container_of(errand, struct lookup, errand);
	struct mount *m = errand->m;
	if (r < 0)
		retry_found(&m->retries, errand->pid, 0, NULL);
	if (r == -ETIMEDOUT)
		timeouts_note(&m->timeouts, errand->pid, l->hash);
	if (r == -ENOENT) {
		fuse_reply_err(errand->req, ENOENT);
	} else if (r < 0) {
		reply_error(m, errand->req, r);
	} else {
		const struct pending p = {.m = m, .req = errand->req, .entry = entry_ref(l->entry), .pid = errand->pid, .view_id = l->view_id, .finish = finish_lookup, .name = l->hash};
		pending_start(&p, views[l->view_id]->size_level);
	}
}

static void lookup_done(struct errand *errand)
{
	entry_unref(container_of(errand, struct lookup, errand)->entry);
}

void ckfs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	stats_add(&m->stats, lookups, 1);
	if (reply_own_name(m, req, parent, name))
		return;
	if (parent >= INODE_ROOT + VIEW_COUNT) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	if (strlen(name) > NAME_MAX) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	struct lookup l = {.errand = {.m = m, .req = req, .ask = ask_name, .finish = finish_name, .done = lookup_done}};
	l.view_id = (unsigned)(parent - INODE_ROOT);
	l.hash = XXH3_64bits_withSeed(name, strlen(name), parent);
	if (m->backend->ops->remote && timeouts_take(&m->timeouts, fuse_req_ctx(req)->pid, l.hash)) {
		reply_error(m, req, -ETIMEDOUT);
		return;
	}
	strcpy(l.name, name);
	errand_start(&l.errand, sizeof l);
}

void ckfs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	struct mount *m = fuse_req_userdata(req);
	if (ino >= INODE_FIRST)
		inodes_forget(m->inodes, ino, nlookup);
	fuse_reply_none(req);
}

void ckfs_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct mount *m = fuse_req_userdata(req);
	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino >= INODE_FIRST)
			inodes_forget(m->inodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}
