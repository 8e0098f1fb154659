#include "views.h"

#include <errno.h>

const struct view *const views[VIEW_COUNT] = {
	&root_view, &raw_view, &frame_view, &arrow_view, &npy_view, &msgpack_view, &json_view, &meta_view,
};

int view_size(const struct view *view, struct entry *entry, uint64_t *ret)
{
	if (view->size)
		return view->size(entry, ret);
	struct content content = {0};
	int r = view->content(entry, &content);
	if (r < 0)
		return r;
	*ret = content_size(&content);
	content_done(&content);
	return 0;
}

int content_from_buf(struct buf *buf, struct content *ret)
{
	struct storage *storage;
	int r = buf->failed ? -ENOMEM : storage_new_memory(buf->p, &storage);
	if (r < 0) {
		buf_done(buf);
		return r;
	}
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
		return "the value is no document";
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
