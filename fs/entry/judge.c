/* Whether a value can be stored: it is peeled as if it were stored already. */
#include "entry_private.h"

#include "steps.h"

#include <errno.h>
#include <sodium.h>

/* An entry of its own, shared with nobody. 0, -EIO, -ENOMEM. */
static int make_judged(struct entries *entries, const struct key *key, const struct slice *value, struct entry **ret)
{
	cleanup_key struct key own = {0};
	cleanup_stored struct stored stored = {.size = value->length};
	cleanup_entry struct entry *entry = NULL;
	int r = key_copy(key, &own);
	if (r < 0)
		return r;
	slice_copy(value, &stored.value);
	/* No other version has this name. */
	randombytes_buf(&stored.version, sizeof stored.version);
	r = entry_new(entries, &own, &stored, &entry);
	if (r < 0)
		return r;
	entry->judged = true;
	r = step_begin(entry);
	if (r == 0)
		*ret = steal(entry);
	return r;
}

/* What is wrong with a value by now; *ret_sure: more need not be known of it. */
static int judge(struct entry *entry, enum level level, bool *ret_sure, const char **ret_reason)
{
	const struct document *document = entry_document(entry);
	const int fault = entry_fault(entry, level, ret_reason);
	*ret_sure = true;
	/* By its head it is sealed, or no key fits: the SDK may have the right one. */
	if (entry_frame(entry) && entry_frame(entry)->kind != FRAME_INTEROP && entry_seal(entry).sealed)
		return fault == -EUCLEAN || fault == -EFBIG ? fault : 0;
	/* A format that is none. */
	if (fault == -EOPNOTSUPP && document->kind == DOCUMENT_OPAQUE)
		return -EINVAL;
	if (fault < 0 && fault != -EOPNOTSUPP)
		return fault;
	if (fault == 0 && document->kind == DOCUMENT_OPAQUE) {
		*ret_reason = "neither a frame of the SDK nor an envelope, nor under the key of an interop value";
		return -EINVAL;
	}
	*ret_sure = false;
	/* What only this build cannot show has a checksum all the same. */
	const int may = fault == 0 ? 1 : document_may_be_read(document);
	return may == 0 ? -EINVAL : may < 0 ? may : 0;
}

int entries_judge(struct entries *entries, const struct key *key, const struct slice *value, const atomic_bool *cancel, const char **ret_reason)
{
	static const enum level levels[] = {LEVEL_DOCUMENT, LEVEL_CHECKED};
	cleanup_entry struct entry *entry = NULL;
	bool sure = false;
	int r = make_judged(entries, key, value, &entry);
	for (size_t i = 0; r == 0 && !sure && i < sizeof levels / sizeof *levels; i++) {
		r = entry_peel_waiting(entry, levels[i], cancel);
		if (r == 0)
			r = judge(entry, levels[i], &sure, ret_reason);
	}
	return r == -EUCLEAN || r == -EBADMSG || r == -ENOKEY ? -EINVAL : r;
}
