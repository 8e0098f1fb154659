/*
 * Changes of entries: removing one, its expiry, and what tools do to files that they copy. What would change anything else is refused: EPERM, and EXDEV for
 * a new name, so that mv copies.
 */
#include "change.h"

#include "attr.h"
#include "file.h"
#include "forget.h"
#include "lookup.h"
#include "operations.h"
#include "write.h"

#include "ckfs/attributes.h"
#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/timestamp.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The SDK takes no longer one: seconds. */
#define TTL_MAX (INT64_C(10) * 365 * 24 * 60 * 60)

/* --- UNLINK --- */

struct removal {
	struct request request;
	char name[NAME_MAX + 1];
};

static int ask_to_remove(struct request *request)
{
	const struct removal *rm = container_of(request, struct removal, request);
	struct mount *m = request->m;
	struct found found = {.entry = NULL};
	int r = find_name(m, request->view_id, rm->name, &request->cancelled, &found);
	if (r < 0)
		return r;
	cleanup_entry struct entry *entry = found.entry;
	return entries_remove(entry, &request->cancelled);
}

static void answer_change(struct request *request, int r)
{
	if (r < 0 && r != -ENOENT)
		reply_error(request->m, request->req, r);
	else
		request->m->reply->err(request->req, -r);
}

static const struct request_kind removal_kind = {.size = sizeof(struct removal), .ask = ask_to_remove, .answer = answer_change};

void ckfs_unlink(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const unsigned view_id = parent < INODE_ROOT + VIEW_COUNT ? (unsigned)(parent - INODE_ROOT) : VIEW_COUNT;
	if (!view_is_of_entries(view_id) || strlen(name) > NAME_MAX) {
		m->reply->err(req, EPERM);
		return;
	}
	struct removal rm = {.request = {.kind = &removal_kind, .m = m, .req = req, .view_id = view_id, .hears = true}};
	strcpy(rm.name, name);
	request_start(&rm.request);
}

/* --- SETATTR --- */

#define TIMES (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME)

static bool changes_owner_or_mode(const struct stat *now, const struct stat *wanted, int to_set)
{
	return (to_set & FUSE_SET_ATTR_MODE && ((now->st_mode ^ wanted->st_mode) & 07777)) || (to_set & FUSE_SET_ATTR_UID && now->st_uid != wanted->st_uid) ||
		(to_set & FUSE_SET_ATTR_GID && now->st_gid != wanted->st_gid);
}

struct setting {
	struct request request;
	struct inode *inode; /* held */
	struct stat wanted;
	int to_set;
};

/* Of a draft that was entered. */
static int set_length_and_leave(struct draft *draft, off_t length)
{
	int r = draft->handles ? draft_set_length(draft, (uint64_t)length) : -ESTALE;
	draft_leave(draft);
	return r;
}

static int ask_to_set_length(struct request *request)
{
	const struct setting *s = container_of(request, struct setting, request);
	struct draft *draft = s->inode->draft;
	int r = draft_enter(draft, &request->cancelled);
	return r < 0 ? r : set_length_and_leave(draft, s->wanted.st_size);
}

static void answer_set(struct request *request, int r)
{
	const struct setting *s = container_of(request, struct setting, request);
	struct mount *m = request->m;
	struct stat st;
	if (r < 0) {
		m->reply->err(request->req, -r);
		return;
	}
	if (s->inode->draft && s->to_set & FUSE_SET_ATTR_MTIME && !(s->to_set & FUSE_SET_ATTR_MTIME_NOW))
		draft_set_time(s->inode->draft, &s->wanted.st_mtim);
	attr_of_inode(m, s->inode, &st);
	m->reply->attr(request->req, &st, FOREVER);
}

static void end_setting(struct request *request)
{
	inode_let_go(request->m, container_of(request, struct setting, request)->inode->id, 1);
}

static const struct request_kind setting_kind = {.size = sizeof(struct setting), .ask = ask_to_set_length, .answer = answer_set, .end = end_setting};

/* 0, -EROFS, -EPERM. */
static int check_setting(struct mount *m, const struct setting *s)
{
	struct stat now;
	attr_of_inode(m, s->inode, &now);
	if (!view_is_of_entries(s->inode->view))
		return refuse_to_write(m, s->inode->view);
	if (changes_owner_or_mode(&now, &s->wanted, s->to_set) ||
		s->to_set & ~(TIMES | FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_SIZE))
		return -EPERM;
	return !s->inode->draft && s->to_set & FUSE_SET_ATTR_SIZE && now.st_size != s->wanted.st_size ? -EPERM : 0;
}

static void set_file(struct mount *m, fuse_req_t req, struct inode *inode, const struct stat *wanted, int to_set)
{
	struct setting s = {.request = {.kind = &setting_kind, .m = m, .req = req, .pool = m->storers, .hears = true}, .inode = inode, .wanted = *wanted,
		.to_set = to_set};
	int r = check_setting(m, &s);
	if (r == 0 && inode->draft && to_set & FUSE_SET_ATTR_SIZE) {
		if (!draft_try_to_enter(inode->draft)) {
			request_start(&s.request);
			return;
		}
		r = set_length_and_leave(inode->draft, wanted->st_size);
	}
	answer_set(&s.request, r);
	end_setting(&s.request);
}

void ckfs_setattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct inode *inode = ino < INODE_FIRST ? NULL : inodes_hold(m->inodes, ino);
	struct stat st;
	int r;
	(void)fi;
	if (inode) {
		set_file(m, req, inode, attr, to_set);
		return;
	}
	if (ino == INODE_STATS || ino >= INODE_FIRST) {
		r = ino == INODE_STATS ? refuse_to_write(m, VIEW_COUNT) : -ENOENT;
	} else {
		attr_of_directory(m, ino, &st);
		r = changes_owner_or_mode(&st, attr, to_set) ? -EPERM : 0;
	}
	if (r == 0)
		m->reply->attr(req, &st, 0);
	else
		m->reply->err(req, -r);
}

/* --- SETXATTR, REMOVEXATTR: the expiry --- */

/* A text as the attribute is shown: "never", seconds from now, or RFC 3339. 0 and unix seconds, 0 for never; -EINVAL. */
static int read_expiry(unsigned attribute, const char *value, size_t size, int64_t *ret)
{
	char text[TIMESTAMP_SIZE + 8];
	char *end;
	if (size >= sizeof text || memchr(value, '\0', size))
		return -EINVAL;
	memcpy(text, value, size);
	text[size] = '\0';
	if (strcmp(text, "never") == 0) {
		*ret = 0;
		return 0;
	}
	int64_t now = clock_unix(), expires;
	if (strcmp(attribute_name(attribute), "expires") == 0) {
		if (!timestamp_to_expiry(text, &expires) || expires <= now || expires - now > TTL_MAX)
			return -EINVAL;
		*ret = expires;
		return 0;
	}
	errno = 0;
	long long ttl = strtoll(text, &end, 10);
	if (errno || *end || !(*text >= '0' && *text <= '9') || ttl < 1 || ttl > TTL_MAX)
		return -EINVAL;
	*ret = now + ttl;
	return 0;
}

struct expiring {
	struct request request;
	struct inode *inode; /* held */
	int64_t expires;
};

/* Of a draft that was entered: what is being written gets its expiry with its value. False: nothing is, and the entry is as it was, or stored by now. */
static bool set_lifetime_and_leave(struct draft *draft, int64_t expires)
{
	const bool is_written = draft->handles && draft->changed;
	if (is_written) {
		draft->lifetime.is_set = true;
		draft->lifetime.expires = expires;
		draft->tried = false;
		draft->asked = false;
	}
	draft_leave(draft);
	return is_written;
}

static int ask_to_expire(struct request *request)
{
	const struct expiring *x = container_of(request, struct expiring, request);
	struct mount *m = request->m;
	struct draft *draft = x->inode->draft;
	cleanup_key struct key key = {0};
	int r = draft ? draft_enter(draft, &request->cancelled) : 0;
	if (r < 0)
		return r;
	if (draft && set_lifetime_and_leave(draft, x->expires))
		return 0;
	r = inode_key(m->inodes, x->inode, &key);
	return r < 0 ? r : backend_expire(m->backend, &key, x->expires, &request->cancelled);
}

static void end_expiring(struct request *request)
{
	inode_let_go(request->m, container_of(request, struct expiring, request)->inode->id, 1);
}

/* The kernel takes EAGAIN of an attribute for one that there is not. */
static void answer_expired(struct request *request, int r)
{
	answer_change(request, r == -EAGAIN ? -EBUSY : r);
}

static const struct request_kind expiring_kind = {.size = sizeof(struct expiring), .ask = ask_to_expire, .answer = answer_expired, .end = end_expiring};

/* value NULL: the attribute is removed. *ret_expires: what an expiry is set to. 0 it is one; 1 there is nothing to do; -errno. */
static int check_attribute(struct mount *m, const struct inode *inode, const char *name, const char *value, size_t size, int64_t *ret_expires)
{
	const unsigned number = find_attribute(name);
	if (number == ATTRIBUTE_COUNT)
		return -EOPNOTSUPP;
	if (!view_is_of_entries(inode->view))
		return refuse_to_write(m, inode->view);
	/* Whoever copies a file with its attributes tells what the stored bytes tell, too. */
	if (!attribute_tells_expiry(number))
		return inode->draft && value ? 1 : -EPERM;
	*ret_expires = 0;
	return value ? read_expiry(number, value, size, ret_expires) : 0;
}

static void set_attribute(struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size)
{
	struct inode *inode = ino < INODE_FIRST ? NULL : inodes_hold(m->inodes, ino);
	if (!inode) {
		m->reply->err(req, EOPNOTSUPP);
		return;
	}
	struct expiring x = {.request = {.kind = &expiring_kind, .m = m, .req = req, .view_id = inode->view, .hears = true}, .inode = inode};
	int r = check_attribute(m, inode, name, value, size, &x.expires);
	if (inode->draft)
		x.request.pool = m->storers;
	if (r == 0 && inode->draft && draft_try_to_enter(inode->draft))
		r = set_lifetime_and_leave(inode->draft, x.expires);
	if (r == 0) {
		request_start(&x.request);
		return;
	}
	m->reply->err(req, r < 0 ? -r : 0);
	inode_let_go(m, ino, 1);
}

void ckfs_setxattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	(void)flags;
	set_attribute(m, req, ino, name, value, size);
}

void ckfs_removexattr(struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *name)
{
	set_attribute(m, req, ino, name, NULL, 0);
}

/* --- what there is not --- */

void ckfs_rename(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname, unsigned flags)
{
	(void)parent, (void)name, (void)newparent, (void)newname, (void)flags;
	m->reply->err(req, EXDEV);
}

void ckfs_rmdir(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent, (void)name;
	m->reply->err(req, EPERM);
}

void ckfs_mkdir(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)parent, (void)name, (void)mode;
	m->reply->err(req, EPERM);
}

void ckfs_mknod(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	(void)parent, (void)name, (void)mode, (void)device;
	m->reply->err(req, EPERM);
}

void ckfs_symlink(struct mount *m, fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	(void)target, (void)parent, (void)name;
	m->reply->err(req, EPERM);
}

void ckfs_link(struct mount *m, fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	(void)ino, (void)newparent, (void)newname;
	m->reply->err(req, EPERM);
}
