/* Extended attributes: what is known of an entry, the same in every view of it. */
#include "errand.h"
#include "pending.h"

#include "ckfs/buf.h"
#include "ckfs/clock.h"
#include "ckfs/timestamp.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define PREFIX "user.ckfs."

/* Writes a value; false when there is none. */
typedef bool xattr_fn(struct entry *entry, struct buf *buf);

static const struct frame_meta *meta_of(const struct entry *entry)
{
	const struct frame *frame = entry_frame(entry);
	return frame && (frame->kind == FRAME_V3 || frame->kind == FRAME_LEGACY) ? &frame->meta : NULL;
}

static bool put_text(struct buf *buf, const char *text)
{
	/* A serializer's name that cannot be told is empty. */
	if (text)
		buf_puts(buf, text);
	return text && *text;
}

static bool put_flag(struct buf *buf, enum tristate flag)
{
	return put_text(buf, flag == UNKNOWN ? NULL : flag == YES ? "true" : "false");
}

static bool xattr_key(struct entry *entry, struct buf *buf)
{
	const struct key *key = entry_key(entry);
	const struct backend *backend = entry_backend(entry);
	if (key->text) {
		buf_put(buf, backend->prefix, backend->prefix_length);
		buf_put(buf, key->text, key->length);
	}
	return key->text != NULL;
}

#define META_TEXT(member) \
	static bool xattr_##member(struct entry *entry, struct buf *buf) \
	{ \
		const struct frame_meta *meta = meta_of(entry); \
		return meta && put_text(buf, meta->member); \
	}

META_TEXT(serializer)
META_TEXT(format)
META_TEXT(original_type)
META_TEXT(encoding)
META_TEXT(tenant_id)
META_TEXT(key_fingerprint)

static bool xattr_compressed(struct entry *entry, struct buf *buf)
{
	const struct frame_meta *meta = meta_of(entry);
	return meta && put_flag(buf, meta->compressed);
}

/* A header that does not speak of it claims plaintext. */
static bool xattr_encrypted(struct entry *entry, struct buf *buf)
{
	const struct frame_meta *meta = meta_of(entry);
	return meta && put_flag(buf, meta->encrypted == UNKNOWN && !meta->fault ? NO : meta->encrypted);
}

static bool xattr_expires(struct entry *entry, struct buf *buf)
{
	char text[TIMESTAMP_SIZE];
	timestamp_from_expiry(entry_expires(entry), text);
	return put_text(buf, text);
}

static bool xattr_ttl(struct entry *entry, struct buf *buf)
{
	int64_t expires = entry_expires(entry);
	if (expires == 0)
		return false;
	int64_t left = expires - clock_unix();
	buf_printf(buf, "%lld", (long long)(left > 0 ? left : 0));
	return true;
}

static bool xattr_frame_size(struct entry *entry, struct buf *buf)
{
	buf_printf(buf, "%llu", (unsigned long long)entry_stored(entry)->value.length);
	return true;
}

static bool xattr_payload_size(struct entry *entry, struct buf *buf)
{
	if (!entry_frame(entry))
		return false;
	buf_printf(buf, "%llu", (unsigned long long)entry_payload(entry)->length);
	return true;
}

static bool xattr_error(struct entry *entry, struct buf *buf)
{
	const char *reason = NULL;
	int r = entry_fault(entry, LEVEL_JSON, &reason);
	if (r < 0)
		buf_printf(buf, "%s (%s)", reason ? reason : strerror(-r), strerrorname_np(-r));
	return r < 0;
}

static const struct {
	const char *name;
	xattr_fn *get;
} rows[] = {
	{"key", xattr_key},
	{"serializer", xattr_serializer},
	{"format", xattr_format},
	{"original_type", xattr_original_type},
	{"encoding", xattr_encoding},
	{"compressed", xattr_compressed},
	{"encrypted", xattr_encrypted},
	{"tenant_id", xattr_tenant_id},
	{"key_fingerprint", xattr_key_fingerprint},
	{"expires", xattr_expires},
	{"ttl", xattr_ttl},
	{"size.frame", xattr_frame_size},
	{"size.payload", xattr_payload_size},
	{"error", xattr_error},
};

#define ROWS (sizeof rows / sizeof *rows)

/* Whether a row tells what may be another one by now, though the version is the same. */
static bool tells_expiry(size_t row)
{
	return rows[row].get == xattr_expires || rows[row].get == xattr_ttl;
}

static size_t find_row(const char *name)
{
	size_t i = ROWS;
	if (strncmp(name, PREFIX, sizeof PREFIX - 1) == 0)
		for (i = 0; i < ROWS && strcmp(name + sizeof PREFIX - 1, rows[i].name) != 0;)
			i++;
	return i;
}

/* The caller asks with size 0 how large an answer would be. */
static void reply_value(struct pending *p, struct buf *buf)
{
	if (buf->failed)
		reply_error(p->m, p->req, -ENOMEM);
	else if (p->size == 0)
		fuse_reply_xattr(p->req, buf->length);
	else if (buf->length > p->size)
		fuse_reply_err(p->req, ERANGE);
	else
		fuse_reply_buf(p->req, buf->p, buf->length);
}

static void finish_getxattr(struct pending *p, int r)
{
	struct buf buf = {0};
	if (r < 0)
		pending_fail(p, r, NULL);
	else if (!rows[p->xattr].get(p->entry, &buf))
		fuse_reply_err(p->req, ENODATA);
	else
		reply_value(p, &buf);
	buf_done(&buf);
}

static void finish_listxattr(struct pending *p, int r)
{
	struct buf names = {0}, value = {0};
	for (size_t i = 0; r == 0 && i < ROWS; i++) {
		value.length = 0;
		if (rows[i].get(p->entry, &value)) {
			buf_puts(&names, PREFIX);
			buf_put(&names, rows[i].name, strlen(rows[i].name) + 1);
		}
	}
	if (r < 0)
		pending_fail(p, r, NULL);
	else
		reply_value(p, &names);
	buf_done(&value);
	buf_done(&names);
}

static struct entry *held_entry(struct mount *m, const struct inode *inode)
{
	return entries_held(m->entries, &inode->hash, inode->interop, &inode->version);
}

/*
 * The entry of an inode, whichever version is the newest: held by somebody, or still the one that the backend has. What it knows of its
 * expiry is new, or the last there was to know.
 */
static int entry_of_inode(struct mount *m, const struct inode *inode, const atomic_bool *cancel, struct entry **ret)
{
	struct key key;
	*ret = held_entry(m, inode);
	if (*ret)
		return entry_ask_expires(*ret);
	int r = inode_key(m->inodes, inode, &key);
	if (r < 0)
		return r;
	r = entries_find(m->entries, &key, false, cancel, ret);
	key_done(&key);
	if (r < 0 || version_equal(&entry_stored(*ret)->version, &inode->version))
		return r;
	entry_unref(*ret);
	*ret = NULL;
	return -ENODATA;
}

struct asking {
	struct errand errand;
	const struct inode *inode; /* held */
	struct entry *entry;       /* a reference */
	size_t size, xattr;
	void (*answer)(struct pending *p, int r);
};

static int ask_entry(struct errand *errand)
{
	struct asking *a = container_of(errand, struct asking, errand);
	return entry_of_inode(errand->m, a->inode, &errand->cancelled, &a->entry);
}

static void finish_entry(struct errand *errand, int r)
{
	struct asking *a = container_of(errand, struct asking, errand);
	if (r == -ENOENT || r == -ENODATA) {
		fuse_reply_err(errand->req, ENODATA);
		return;
	}
	if (r < 0) {
		reply_error(errand->m, errand->req, r);
		return;
	}
	struct pending p = {.m = errand->m, .req = errand->req, .size = a->size, .xattr = a->xattr, .finish = a->answer};
	p.entry = entry_ref(a->entry);
	p.view_id = a->inode->view;
	pending_start(&p, LEVEL_DOCUMENT);
}

static void asking_done(struct errand *errand)
{
	struct asking *a = container_of(errand, struct asking, errand);
	entry_unref(a->entry);
	inodes_forget(errand->m->inodes, a->inode->id, 1);
}

/* `expiry`: it is asked for. All else is known of an entry that is at hand. */
static void start(struct asking *a, fuse_req_t req, fuse_ino_t ino, bool expiry)
{
	struct mount *m = fuse_req_userdata(req);
	a->inode = inodes_hold(m->inodes, ino);
	if (!a->inode) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	a->errand = (struct errand){.m = m, .req = req, .ask = ask_entry, .finish = finish_entry, .done = asking_done};
	a->entry = expiry ? NULL : held_entry(m, a->inode);
	if (a->entry)
		errand_answer(&a->errand);
	else
		errand_start(&a->errand, sizeof *a);
}

void ckfs_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct mount *m = fuse_req_userdata(req);
	size_t row = find_row(name);
	stats_add(&m->stats, getxattrs, 1);
	/* `ls -l` asks for two foreign names a file: they cost nothing. */
	if (row == ROWS || ino < INODE_FIRST) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	struct asking a = {.size = size, .xattr = row, .answer = finish_getxattr};
	start(&a, req, ino, tells_expiry(row));
}

void ckfs_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct asking a = {.size = size, .answer = finish_listxattr};
	if (ino >= INODE_FIRST)
		start(&a, req, ino, true);
	else if (size == 0)
		fuse_reply_xattr(req, 0);
	else
		fuse_reply_buf(req, NULL, 0);
}
