#include "views.h"

#include "ckfs/lack.h"

#include <errno.h>
#include <string.h>

#define VIEW_ADDRESS(number, name) [number] = &(name),
const struct view *const views[VIEW_COUNT] = {VIEWS(VIEW_ADDRESS)};
#undef VIEW_ADDRESS

bool view_has_name(const char *name, size_t length)
{
	for (unsigned i = VIEW_ROOT + 1; i < VIEW_COUNT; i++)
		if (strlen(views[i]->name) == length && memcmp(views[i]->name, name, length) == 0)
			return true;
	return false;
}

int view_size(const struct view *view, struct entry *entry, uint64_t *ret)
{
	if (view->size)
		return view->size(entry, ret);
	cleanup_content struct content content = {0};
	int r = view->content(entry, &content);
	if (r == 0)
		*ret = content_size(&content);
	return r;
}

bool view_does_with_less(const struct view *view, enum level level, int r, enum level *ret)
{
	*ret = view->lacking_level;
	return lack_is(r) && view->lacking_level < level && view->lacking_level > LEVEL_STORED;
}

/* Peels to a level, or to what will do. */
static int peel(const struct view *view, struct entry *entry, enum level level, const atomic_bool *cancel)
{
	enum level less;
	int r = entry_peel_waiting(entry, level, cancel);
	return view_does_with_less(view, level, r, &less) ? entry_peel_waiting(entry, less, cancel) : r;
}

int view_open(const struct view *view, struct entry *entry, const atomic_bool *cancel, struct content *ret, const char **ret_reason)
{
	int r = peel(view, entry, view->open_level, cancel);
	if (r == 0)
		r = view->status(entry, view->open_level, ret_reason);
	return r < 0 ? r : view->content(entry, ret);
}

int view_measure(const struct view *view, struct entry *entry, const atomic_bool *cancel, uint64_t *ret, const char **ret_reason)
{
	enum level level = view->size_level;
	int r = peel(view, entry, level, cancel);
	if (r == 0 && !view->shows_failing)
		r = view->status(entry, level, ret_reason);
	if (view_check_tells_more(entry, level, r)) {
		level = LEVEL_CHECKED;
		r = entry_peel_waiting(entry, level, cancel);
		if (r == 0)
			r = view->status(entry, level, ret_reason);
	}
	return r < 0 ? r : view_size(view, entry, ret);
}

int content_from_buf(struct buf *buf, struct content *ret)
{
	struct storage *storage;
	int r = buf->failed ? -ENOMEM : storage_new_memory(buf->p, &storage);
	if (r < 0)
		return r;
	slice_new(storage, 0, buf->length, &ret->head);
	storage_unref(storage);
	*buf = (struct buf){0};
	return 0;
}

uint64_t content_size(const struct content *content)
{
	return content->head.length + content->body.length;
}

int content_read(const struct content *content, uint64_t offset, void *buf, size_t n)
{
	size_t from_head = 0;
	if (offset < content->head.length) {
		uint64_t left = content->head.length - offset;
		from_head = n < left ? n : (size_t)left;
		int r = slice_read(&content->head, offset, buf, from_head);
		if (r < 0)
			return r;
		offset = content->head.length;
	}
	return slice_read(&content->body, offset - content->head.length, (char *)buf + from_head, n - from_head);
}

bool content_in_memory(const struct content *content, uint64_t offset, size_t n, struct slice *ret)
{
	uint64_t head = content->head.length;
	const struct slice *part = offset < head ? &content->head : &content->body;
	uint64_t at = offset < head ? offset : offset - head;
	return slice_memory(part) && slice_sub(part, at, n, ret) == 0;
}

void content_done(struct content *content)
{
	slice_done(&content->head);
	slice_done(&content->body);
}

static const char *kind_reason(enum document_kind kind)
{
	switch (kind) {
	case DOCUMENT_ARROW:
		return "the document is an Arrow file";
	case DOCUMENT_NUMPY:
		return "the document is an array";
	case DOCUMENT_JSON:
		return "the document is JSON";
	case DOCUMENT_MSGPACK:
		return "the document is MessagePack";
	default:
		return "the value is not a document";
	}
}

int view_document_status(struct entry *entry, enum document_kind kind, enum level level, const char **ret_reason)
{
	const struct document *document = entry_document(entry);
	int fault = entry_fault(entry, level, ret_reason);
	/* What cannot be told apart fails in every decoded view alike. */
	if (fault < 0 && document->kind == DOCUMENT_OPAQUE)
		return fault;
	if (document->kind != kind) {
		*ret_reason = kind_reason(document->kind);
		return -ENOENT;
	}
	return fault;
}

bool view_check_tells_more(const struct entry *entry, enum level level, int r)
{
	return level < LEVEL_CHECKED && (r == -EUCLEAN || r == -EOPNOTSUPP) && document_has_check(entry_document(entry));
}

bool view_is_of_entries(unsigned view_id)
{
	return view_id == VIEW_ROOT || view_id == VIEW_RAW || view_id == VIEW_FRAME;
}

bool view_shows_all(const struct view *view)
{
	return view->shows_failing || view->size_level == LEVEL_STORED || view->afresh;
}

bool view_needs_value(const struct view *view, bool sizes)
{
	return !view_shows_all(view) || (sizes && !view->unlisted_size);
}

/* Whether a format directory shows an entry. What is sealed for others is left out. 1, 0, -errno. */
static int is_of_view(const struct view *view, struct entry *entry, const atomic_bool *cancel)
{
	const char *reason = NULL;
	int r = entry_peel_waiting(entry, LEVEL_DOCUMENT, cancel);
	/* What cannot be had just now is shown: who opens it is told why. */
	if (r < 0)
		return r == -ENOMEM || r == -EINTR ? r : 1;
	return view->status(entry, view->open_level, &reason) == 0 && !entry_seal(entry).unfit;
}

int view_look(const struct view *view, struct entry *entry, const atomic_bool *cancel, bool *ret_has_size, uint64_t *ret_size)
{
	*ret_has_size = false;
	entry_peel_quick(entry, view_shows_all(view) ? view->size_level : view->open_level);
	int r = view_shows_all(view) ? 1 : is_of_view(view, entry, cancel);
	if (r == 1)
		*ret_has_size = !view->unlisted_size && entry_reached(entry, view->size_level) && view_size(view, entry, ret_size) == 0;
	return r;
}
