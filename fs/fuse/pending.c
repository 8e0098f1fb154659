#include "pending.h"

#include "ckfs/buf.h"
#include "ckfs/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* A key's bytes in one line of the log. */
#define LOGGED_KEY_MAX 240

static void pending_free(struct pending *p)
{
	entry_unref(p->entry);
	free(p);
}

static void on_done(struct entry_wait *wait, int r)
{
	struct pending *p = container_of(wait, struct pending, wait);
	/* Waits for an interrupt that is just being handled, so that none comes after `p` is gone. */
	fuse_req_interrupt_func(p->req, NULL, NULL);
	/* What else is known of an entry is told all the same. */
	if (p->level == LEVEL_SUMMARY && lack_is(r))
		pending_go_on(p, LEVEL_DOCUMENT);
	else
		p->finish(p, r);
	pending_free(p);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct pending *p = data;
	if (!entry_peel_cancel(p->entry, &p->wait))
		return;
	fuse_reply_err(req, EINTR);
	pending_free(p);
}

void pending_start(const struct pending *p, enum level level)
{
	if (entry_reached(p->entry, level)) {
		struct pending now = *p;
		now.level = level;
		now.finish(&now, 0);
		entry_unref(now.entry);
		return;
	}
	struct pending *later = malloc(sizeof *later);
	if (!later) {
		entry_unref(p->entry);
		reply_error(p->m, p->req, -ENOMEM);
		return;
	}
	*later = *p;
	later->level = level;
	later->wait = (struct entry_wait){.done = on_done};
	fuse_req_interrupt_func(later->req, on_interrupt, later);
	entry_peel(later->entry, level, &later->wait);
}

void pending_go_on(struct pending *p, enum level level)
{
	struct pending again = *p;
	entry_ref(p->entry);
	pending_start(&again, level);
}

void reply_error(struct mount *m, fuse_req_t req, int r)
{
	stats_add(&m->stats, errors, 1);
	fuse_reply_err(req, lack_tell(m, r));
}

/* What is wrong with the entry is worth a line; that there is none, or that the caller went away, is not. What ckfs lacks has its own. */
static bool is_logged(int r)
{
	switch (-r) {
	case EUCLEAN:
	case EBADMSG:
	case EFBIG:
	case EOPNOTSUPP:
	case ENOKEY:
	case EIO:
		return true;
	default:
		return false;
	}
}

void pending_fail(struct pending *p, int r, const char *reason)
{
	const struct key *key = entry_key(p->entry);
	const struct view *view = views[p->view_id];
	struct version record = entry_record(p->entry);
	if (is_logged(r) && learnt_first_error(entries_learnt(p->m->entries), &record, r)) {
		struct buf line = {0};
		char hex[KEY_HEX_SIZE + 1];
		key_hash_to_hex(&key->hash, hex);
		buf_escaped(&line, key->text ? key->text : hex, key->text ? key->length : KEY_HEX_SIZE, LOGGED_KEY_MAX);
		buf_put(&line, "", 1);
		if (!line.failed)
			log_line(LOG_WARNING, "%s%s%s: %s (%s)", view->name, *view->name ? "/" : "", line.p,
				reason ? reason : strerror(-r), strerrorname_np(-r));
		buf_done(&line);
	}
	reply_error(p->m, p->req, r);
}
