/*
 * A backend: where stored values come from. It knows keys and bytes, nothing of what
 * the bytes mean.
 *
 * A new backend is one file with one `const struct backend_ops`, and one line in the
 * table of backend/backend.c. Everybody else calls the backend_…() functions, which
 * hold the operations to this contract. All of them may block and may be called by
 * many threads at once.
 */
#ifndef CKFS_BACKEND_H
#define CKFS_BACKEND_H

#include "ckfs/error.h"
#include "ckfs/key.h"
#include "ckfs/options.h"
#include "ckfs/slice.h"
#include "ckfs/spool.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <time.h>

/* Names one version of one entry: equal only when the stored bytes are the same ones. */
struct version {
	uint8_t id[16];
};

/* One version of an entry, as found. */
struct stored {
	struct version version;
	bool nameless;           /* of a listing: too little was read to tell which version it is. `version` is no other's, and made up */
	struct slice value;      /* the stored value, whole: what the SDK's backend.get returns */
	uint64_t size;           /* bytes it takes in the backend, with what the backend puts around it */
	int64_t expires;         /* unix seconds, 0: never; as of now, a TTL may be rewritten later */
	struct timespec written; /* when this version was stored */
};

/* One step of a listing. */
struct listed {
	struct key key;
	struct stored stored;
	bool unread; /* it is there, but cannot be read just now: `stored` is empty, and find tells why */
};

struct backend;
struct cursor;

struct backend_ops {
	const char *name;             /* as meta/ shows it */
	const char *const *schemes;   /* of its URLs, NULL-terminated */
	bool stores_keys;             /* false: a listing knows hashes only */
	bool remote;                  /* its operations wait for a network */

	/*
	 * Opens a location: what follows the "scheme://" of a URL, or a directory. *ret_source: the whole source without secrets, owned by
	 * the caller. On failure sets the error, which holds no secret either. Starts no threads: the daemon has yet to fork.
	 */
	int (*open)(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source,
		struct error *error);
	void (*close)(struct backend *backend);

	/*
	 * The newest version of an entry; all of its value, if `whole`, else maybe its head. What is read whole, though it is large, is made
	 * in `spool`. `cancel`: nobody waits any more when it becomes true; NULL: somebody does.
	 * 0; -ENOENT no such key, or expired; -EACCES, -EAGAIN, -ECONNREFUSED, -ETIMEDOUT, -EINTR, -EIO, -EMFILE, -ENOMEM…
	 */
	int (*find)(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
		struct stored *ret);

	/* The key with a hash, with its text, by looking at all of them. 0; -ENOENT; errors as of find. NULL: it stores no keys. */
	int (*resolve)(struct backend *backend, const struct key_hash *hash, struct key *ret);

	/*
	 * The rest of a value that was found by its head only (its storage is partial): 0 and all of it, made in `spool`; -ESTALE
	 * it has changed since; -EINTR when *cancel became true; errors as of find. NULL: values are always whole.
	 */
	int (*fetch)(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool,
		const atomic_bool *cancel, struct slice *ret);

	/* When an entry that was found expires, as of now: unix seconds, 0 never. 0; -ESTALE it is no more, nor is its expiry; -EIO, errors as of find. */
	int (*expires)(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret);

	/*
	 * A listing of all live entries: every one that is there throughout exactly once. next: 1 and *ret, 0 at the
	 * end, -errno; without `value` the stored value is left out, which is cheaper, and a remote backend leaves out the version too.
	 * position: how many were given; seek goes back to after that many.
	 */
	int (*list)(struct backend *backend, struct cursor **ret);
	int (*next)(struct cursor *cursor, bool value, struct listed *ret);
	uint64_t (*position)(const struct cursor *cursor);
	int (*seek)(struct cursor *cursor, uint64_t position);
	void (*list_end)(struct cursor *cursor);

	/* Has all be asked again that was asked before; versions stay what they are. NULL: nothing is kept. */
	void (*forget)(struct backend *backend);

	/* Ends all waits there are and will be, with -EINTR: only close follows. NULL: nothing waits. */
	void (*stop)(struct backend *backend);

	/* When the set of names last changed. 0, -errno. */
	int (*changed)(struct backend *backend, struct timespec *ret);
	int (*statfs)(struct backend *backend, struct statvfs *ret);
};

/* What every backend and cursor begins with. */
struct backend {
	const struct backend_ops *ops;
	char *prefix; /* what stands before the text of every key where it is stored; NULL: nothing */
	size_t prefix_length;
};

struct cursor {
	const struct backend_ops *ops;
};

/* All backends of this build, NULL-terminated. */
extern const struct backend_ops *const backends[];

/*
 * Opens a SOURCE (a directory, a URL, or NULL: from the environment as the SDK does).
 * *ret_source is the source without secrets, for /proc/mounts; the caller frees it.
 */
int backend_open(const struct options *options, struct backend **ret, char **ret_source, struct error *error);
void backend_close(struct backend *backend);

int backend_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
	struct stored *ret);
int backend_resolve(struct backend *backend, const struct key_hash *hash, struct key *ret);
int backend_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool,
	const atomic_bool *cancel, struct slice *ret);
int backend_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret);
int backend_list(struct backend *backend, struct cursor **ret);
void backend_forget(struct backend *backend);
void backend_stop(struct backend *backend);
int backend_changed(struct backend *backend, struct timespec *ret);
int backend_statfs(struct backend *backend, struct statvfs *ret);

/* A key that is known by its text as it is stored: with the prefix. 0, -ENOMEM. */
int backend_stored_key(const struct backend *backend, const struct key *key, struct key *ret);

int cursor_next(struct cursor *cursor, bool value, struct listed *ret);
uint64_t cursor_position(const struct cursor *cursor);
int cursor_seek(struct cursor *cursor, uint64_t position);
void cursor_end(struct cursor *cursor);

void stored_done(struct stored *stored);
bool version_equal(const struct version *a, const struct version *b);

/* Whether an expiry has passed. */
bool has_expired(int64_t expires);

#endif
