/*
 * A view: one form in which an entry is shown, a directory of the mount.
 *
 * A new view is one file with one `const struct view`, and one line in the table of fs/view/view.c.
 */
#ifndef CKFS_VIEW_H
#define CKFS_VIEW_H

#include "ckfs/buf.h"
#include "ckfs/entry.h"
#include "ckfs/slice.h"

#include <stdbool.h>

/* What a file holds: first the head, which was made, then a window of what is stored. Either may be empty. */
struct content {
	struct slice head, body;
};

struct view {
	const char *name;      /* of its directory; "": the root */
	const char *extension; /* of its files: ".arrow", or "" */
	enum level size_level; /* how deep an entry must be peeled before the size is known */
	enum level open_level; /* … and before the first byte may be served */
	bool afresh;           /* made anew at each open, outside "one version at a time" */
	bool unlisted_size;    /* listings leave its attributes to stat */
	bool shows_failing;    /* an entry whose status is an error is listed and looked up all the same: open tells */

	/*
	 * Whether the view can show an entry, as far as is known and no deeper than `level` matters (size_level at least):
	 * 0; -ENOENT it does not apply; -EUCLEAN, -EBADMSG, -EOPNOTSUPP… it fails. With static text why.
	 */
	int (*status)(struct entry *entry, enum level level, const char **ret_reason);

	/* The size in bytes, for an entry peeled to size_level; NULL: that of the content. 0, -errno. */
	int (*size)(struct entry *entry, uint64_t *ret);

	/* The content, for an entry peeled to open_level whose status is 0. 0, -errno. content_done() drops it. */
	int (*content)(struct entry *entry, struct content *ret);
};

/* The root first. Number i is a view's id. */
#define VIEW_COUNT 8
#define VIEW_ROOT 0
extern const struct view *const views[VIEW_COUNT];

int view_size(const struct view *view, struct entry *entry, uint64_t *ret);

/* Made content. Takes what the buffer holds, also on failure. 0, -ENOMEM. */
int content_from_buf(struct buf *buf, struct content *ret);

uint64_t content_size(const struct content *content);
int content_read(const struct content *content, uint64_t offset, void *buf, size_t n);

/* The n bytes at `offset` as they lie in memory: a window with a reference. False when they have to be read. */
bool content_in_memory(const struct content *content, uint64_t offset, size_t n, struct slice *ret);
void content_done(struct content *content);

/* Status of a view that shows documents of one kind. */
int view_document_status(struct entry *entry, enum document_kind kind, enum level level, const char **ret_reason);

#endif
