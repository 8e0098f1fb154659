/* Storing a draft: whether it is a value, and where it goes. */
#include "draft.h"
#include "mount.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"
#include "ckfs/log.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

/* A key's bytes in one line of the log. */
#define LOGGED_KEY_MAX 240

void draft_log(const struct draft *draft)
{
	const struct draft *d = draft;
	if (!d->changed || !d->written || d->outcome == 0 || d->outcome == -EINTR)
		return;
	cleanup_buf struct buf line = {0};
	char hex[KEY_HEX_SIZE + 1];
	key_hash_to_hex(&d->key.hash, hex);
	buf_escaped(&line, d->key.text ? d->key.text : hex, d->key.text ? d->key.length : KEY_HEX_SIZE, LOGGED_KEY_MAX);
	buf_put(&line, "", 1);
	if (!line.failed)
		log_line(LOG_WARNING, "frame/%s: not stored: %s (%s)", line.p, d->reason ? d->reason : strerror(-d->outcome), strerrorname_np(-d->outcome));
}

/* Judges and stores a value. */
static int store_value(struct draft *d, const struct slice *value, const atomic_bool *cancel)
{
	struct mount *m = d->m;
	int r = d->m->options->unchecked ? 0 : entries_judge(m->entries, &d->key, value, cancel, &d->reason);
	if (r < 0 && lack_is(r))
		return -lack_tell(m, r);
	if (r < 0)
		return r;
	return entries_put(m->entries, &d->key, value, &d->lifetime, cancel, &d->reason);
}

static int try_to_store(struct draft *d, const atomic_bool *cancel)
{
	cleanup_slice struct slice value = {0};
	d->reason = NULL;
	if (d->broken)
		return d->broken;
	int r = draft_take(d, cancel, &value);
	if (r < 0)
		return r == -EINTR ? r : draft_tell(d, r);
	r = store_value(d, &value, cancel);
	if (r < 0)
		return r;
	draft_begin_anew(d, &value);
	return 0;
}

int draft_store(struct draft *draft, const atomic_bool *cancel)
{
	int r = draft_enter(draft, cancel);
	if (r < 0)
		return r;
	const bool is_known = draft->tried && (draft->outcome == -EINVAL || draft->outcome == -EFBIG);
	if (draft->changed && is_known)
		r = draft->outcome;
	else if (draft->changed) {
		r = try_to_store(draft, cancel);
		draft->tried = true;
		draft->outcome = r;
	}
	draft_leave(draft);
	return r;
}
