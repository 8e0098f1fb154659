/*
 * A view: one form in which an entry is shown, a directory of the mount.
 *
 * A new view is one file with one `const struct view`, and one line in VIEWS. All else follows: its number, its directory, and that a key of
 * its name is escaped.
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
	enum level lacking_level; /* how deep will do where memory or disk are lacking for more; LEVEL_STORED: nothing less */
	bool afresh;           /* made anew at each open, outside "one version at a time" */
	bool mapped;           /* its readers mostly map it and look at parts of it, rather than read it from end to end */
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

/* All views, the root first. */
#define VIEWS(row) \
	row(VIEW_ROOT, root_view) \
	row(VIEW_RAW, raw_view) \
	row(VIEW_FRAME, frame_view) \
	row(VIEW_ARROW, arrow_view) \
	row(VIEW_NPY, npy_view) \
	row(VIEW_MSGPACK, msgpack_view) \
	row(VIEW_JSON, json_view) \
	row(VIEW_META, meta_view)

#define VIEW_NUMBER(number, name) number,
enum { VIEWS(VIEW_NUMBER) VIEW_COUNT };
#undef VIEW_NUMBER

extern const struct view *const views[VIEW_COUNT];

/* Whether a view has a directory of this name in the root. */
bool view_has_name(const char *name, size_t length);

int view_size(const struct view *view, struct entry *entry, uint64_t *ret);

/* Made content. Takes what the buffer holds. 0, -ENOMEM. */
int content_from_buf(struct buf *buf, struct content *ret);

/*
 * For who waits on a thread of its own: the content of an entry, or its size, after all that these take. 0; -ENOENT, -EUCLEAN, -EBADMSG… the view does not
 * show it, with static text why, or NULL; -ESTALE it has changed between its head and its rest; -EINTR soon after *cancel became true; errors
 * as of entry_peel_waiting().
 */
int view_open(const struct view *view, struct entry *entry, const atomic_bool *cancel, struct content *ret, const char **ret_reason);
int view_measure(const struct view *view, struct entry *entry, const atomic_bool *cancel, uint64_t *ret, const char **ret_reason);

/* Whether a level that was not reached, for the reason r, need not be: another one, *ret, will do. */
bool view_does_with_less(const struct view *view, enum level level, int r, enum level *ret);

uint64_t content_size(const struct content *content);
int content_read(const struct content *content, uint64_t offset, void *buf, size_t n);

/* The n bytes at `offset` as they lie in memory: a window with a reference. False when they have to be read. */
bool content_in_memory(const struct content *content, uint64_t offset, size_t n, struct slice *ret);
void content_done(struct content *content);
#define cleanup_content cleanup_with(content_done)

/* Status of a view that shows documents of one kind. */
int view_document_status(struct entry *entry, enum document_kind kind, enum level level, const char **ret_reason);

/*
 * Whether a lookup that failed so at `level` has to go on to LEVEL_CHECKED: a document that makes no sense may simply be altered, and its
 * checksum tells, where it has one.
 */
bool view_check_tells_more(const struct entry *entry, enum level level, int r);

/* Whether what a view shows of an entry is all of it, so that to remove it there is to remove the entry. */
bool view_is_of_entries(unsigned view_id);

/* Whether a view shows every entry, whatever it is. */
bool view_shows_all(const struct view *view);

/* Whether the line of an entry in a listing needs more than a name and a version: it is looked into. `sizes`: sizes are wanted, too. */
bool view_needs_value(const struct view *view, bool sizes);

/*
 * Looks into an entry of a listing, shared with nobody, as far as the listing needs it: whether the view shows it, and how large it is, if
 * that is known. 1 shown, 0 not, -ENOMEM, -EINTR *cancel became true.
 */
int view_look(const struct view *view, struct entry *entry, const atomic_bool *cancel, bool *ret_has_size, uint64_t *ret_size);

#endif
