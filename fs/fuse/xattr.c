/* Extended attributes: what is known of an entry, the same in every view of it. */
#include "change.h"
#include "forget.h"
#include "operations.h"

#include "ckfs/attributes.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <string.h>

#define PREFIX "user.ckfs."

/* To the kernel: this filesystem has none. Who asks is told EOPNOTSUPP, and no further question reaches the daemon. */
#define NEVER_ASK_AGAIN ENOSYS

unsigned find_attribute(const char *name)
{
	return strncmp(name, PREFIX, sizeof PREFIX - 1) == 0 ? attribute_find(name + sizeof PREFIX - 1) : ATTRIBUTE_COUNT;
}

static struct entry *held_entry(struct mount *m, const struct inode *inode)
{
	return entries_held(m->entries, &inode->hash, inode->by_text, &inode->version);
}

/*
 * A version that is not the newest any more: while it is open, it tells what is known of it. If the kernel may have its inode from a listing, the name
 * may have another one by now: -ESTALE makes the kernel look up again. Else -ENODATA.
 */
static int gone(struct mount *m, const struct inode *inode, struct entry **ret)
{
	struct entry *entry = entries_still_held(m->entries, &inode->hash, inode->by_text, &inode->version);
	if (!entry)
		return clock_ms() < inode->listed_until ? -ESTALE : -ENODATA;
	*ret = entry;
	return 0;
}

/* The entry of an inode that nobody holds: the backend is asked. As of entry_to_describe(). */
static int find_again(struct mount *m, const struct inode *inode, const atomic_bool *cancel, struct entry **ret)
{
	struct key key;
	struct entry *entry;
	int r = inode_key(m->inodes, inode, &key);
	if (r < 0)
		return r;
	r = entries_find(m->entries, &key, false, cancel, &entry);
	key_done(&key);
	if (r == 0 && version_equal(&entry_stored(entry)->version, &inode->version)) {
		*ret = entry;
		return 0;
	}
	if (r == 0)
		entry_unref(entry);
	return r == 0 || r == -ENOENT ? gone(m, inode, ret) : r;
}

/*
 * The entry of an inode, whichever version is the newest: held by somebody, or still the one that the backend has. What it knows of its
 * expiry is new, or the last there was to know; where that is a request of its own, it is made only for who wants to know. 0; -ENODATA, -ESTALE as of
 * gone(); errors as of entries_find().
 */
static int entry_to_describe(struct mount *m, const struct inode *inode, bool wants_expiry, const atomic_bool *cancel, struct entry **ret)
{
	struct entry *entry = held_entry(m, inode);
	const bool was_held = entry;
	int r = was_held ? 0 : find_again(m, inode, cancel, &entry);
	if (r < 0)
		return r;
	if (entry_expires(entry) == EXPIRES_UNKNOWN ? wants_expiry : was_held)
		r = entry_ask_expires(entry);
	if (r < 0)
		entry_unref(entry);
	else
		*ret = entry;
	return r;
}

struct xattr_request {
	struct request request;
	struct inode *inode;       /* held */
	size_t size;               /* of the caller's buffer */
	unsigned xattr;            /* GETXATTR: which */
	bool wants_expiry;         /* it is one that tells when the entry expires */
};

static int ask_entry(struct request *request)
{
	const struct xattr_request *x = container_of(request, struct xattr_request, request);
	return entry_to_describe(request->m, x->inode, x->wants_expiry, &request->cancelled, &request->entry);
}

static void fail(struct request *request, int r)
{
	/* That it is no more is no error of an entry. */
	if (!request->entry && (r == -ENODATA || r == -ESTALE))
		request->m->reply->err(request->req, -r);
	else
		request_fail(request, r, NULL);
}

/* The caller asks with size 0 how large an answer would be. */
static void reply_value(const struct xattr_request *x, const struct buf *buf)
{
	struct mount *m = x->request.m;
	fuse_req_t req = x->request.req;
	if (buf->failed)
		reply_error(m, req, -ENOMEM);
	else if (x->size == 0)
		m->reply->xattr(req, buf->length);
	else if (buf->length > x->size)
		m->reply->err(req, ERANGE);
	else
		m->reply->buf(req, buf->p, buf->length);
}

static void answer_getxattr(struct request *request, int r)
{
	const struct xattr_request *x = container_of(request, struct xattr_request, request);
	struct buf buf = {0};
	if (r < 0)
		fail(request, r);
	else if (!attribute_get(x->xattr, request->entry, &buf) || (x->wants_expiry && entry_expires(request->entry) == EXPIRES_UNKNOWN))
		request->m->reply->err(request->req, ENODATA);
	else
		reply_value(x, &buf);
	buf_done(&buf);
}

static void answer_listxattr(struct request *request, int r)
{
	const struct xattr_request *x = container_of(request, struct xattr_request, request);
	struct buf names = {0}, value = {0};
	for (unsigned i = 0; r == 0 && i < ATTRIBUTE_COUNT; i++) {
		value.length = 0;
		if (attribute_get(i, request->entry, &value)) {
			buf_puts(&names, PREFIX);
			buf_put(&names, attribute_name(i), strlen(attribute_name(i)) + 1);
		}
	}
	if (r < 0)
		fail(request, r);
	else
		reply_value(x, &names);
	buf_done(&value);
	buf_done(&names);
}

static void end_xattr(struct request *request)
{
	inode_let_go(request->m, container_of(request, struct xattr_request, request)->inode->id, 1);
}

static const struct request_kind getxattr_kind = {.size = sizeof(struct xattr_request), .ask = ask_entry, .answer = answer_getxattr, .end = end_xattr};
static const struct request_kind listxattr_kind = {.size = sizeof(struct xattr_request), .ask = ask_entry, .answer = answer_listxattr, .end = end_xattr};

/*
 * Who asks for the length of the names asks for the names next, and fails if those take more by then: as an expiry that has come to be known, or a new
 * version. So all that there may be have room, for which nobody has to be asked.
 */
static size_t names_max(void)
{
	size_t length = 0;
	for (unsigned i = 0; i < ATTRIBUTE_COUNT; i++)
		length += strlen(PREFIX) + strlen(attribute_name(i)) + 1;
	return length;
}

/*
 * A list that nobody has to be asked for: its length alone; or there is too little room for the names of a header, as when `ls -l` of coreutils 9.7 first asks.
 * Without a header they are few, and mostly fit. Whether it was answered.
 */
static bool answer_without_look(const struct xattr_request *x)
{
	const struct reply_ops *reply = x->request.m->reply;
	if (x->size == 0)
		reply->xattr(x->request.req, names_max());
	else if (x->inode->has_header && x->size < names_max())
		reply->err(x->request.req, ERANGE);
	else
		return false;
	return true;
}

/* `expiry`: the backend is asked for it. All else is known of an entry that somebody holds. */
static void start(struct xattr_request *x, fuse_ino_t ino, bool expiry)
{
	struct request *request = &x->request;
	x->inode = inodes_hold(request->m->inodes, ino);
	/* What is being written has none: it is no entry yet. */
	if (!x->inode || x->inode->draft) {
		if (x->inode)
			inode_let_go(request->m, x->inode->id, 1);
		request->m->reply->err(request->req, ENODATA);
		return;
	}
	if (request->kind == &listxattr_kind && answer_without_look(x)) {
		inode_let_go(request->m, x->inode->id, 1);
		return;
	}
	request->view_id = x->inode->view;
	request->level = LEVEL_DOCUMENT;
	request->entry = expiry ? NULL : held_entry(request->m, x->inode);
	request_start(request);
}

void ckfs_getxattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	unsigned number = find_attribute(name);
	stats_add(&m->stats, getxattrs, 1);
	if (m->options->noxattr) {
		m->reply->err(req, NEVER_ASK_AGAIN);
		return;
	}
	/* `ls -l` asks for two foreign names a file: they cost nothing. */
	if (number == ATTRIBUTE_COUNT || ino < INODE_FIRST) {
		m->reply->err(req, ENODATA);
		return;
	}
	struct xattr_request x = {.request = {.kind = &getxattr_kind, .m = m, .req = req}, .size = size, .xattr = number};
	x.wants_expiry = attribute_tells_expiry(number);
	start(&x, ino, x.wants_expiry);
}

void ckfs_listxattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct xattr_request x = {.request = {.kind = &listxattr_kind, .m = m, .req = req}, .size = size};
	if (m->options->noxattr)
		m->reply->err(req, NEVER_ASK_AGAIN);
	else if (ino >= INODE_FIRST)
		start(&x, ino, true);
	else if (size == 0)
		m->reply->xattr(req, 0);
	else
		m->reply->buf(req, NULL, 0);
}
