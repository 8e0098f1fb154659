/*
 * A backend: where stored values come from. It knows keys and bytes, nothing of what
 * the bytes mean.
 *
 * A new backend is one folder with one `const struct backend_ops`, and one line in the
 * table of backend/backends.c. Everybody else calls the backend_…() functions, which
 * hold the operations to this contract, have the defaults of what one leaves out, count
 * each call, and print it with -d. All of them may block and may be called by many threads at once.
 */
#ifndef CKFS_BACKEND_H
#define CKFS_BACKEND_H

#include "ckfs/error.h"
#include "ckfs/key.h"
#include "ckfs/options.h"
#include "ckfs/sandbox.h"
#include "ckfs/slice.h"
#include "ckfs/spool.h"
#include "ckfs/stats.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <time.h>

/* Names one version of one entry: equal only when the stored bytes are the same ones. */
struct version {
	uint8_t id[16];
};

/* Of an expiry: nobody has asked for it yet. */
#define EXPIRES_UNKNOWN (-1)

/* One version of an entry, as found. */
struct stored {
	struct version version;
	bool nameless;           /* of a listing: too little was read to tell which version it is. `version` is no other's, and made up */
	struct slice value;      /* the stored value, whole: what the SDK's backend.get returns */
	uint64_t size;           /* bytes it takes in the backend, with what the backend puts around it */
	int64_t expires;         /* unix seconds, 0: never; as of now, a TTL may be rewritten later; EXPIRES_UNKNOWN: it takes an `expires` to know */
	bool stale;              /* the store itself says that it should have a newer one */
	struct timespec written; /* when this version was stored */
};

/* One step of a listing. */
struct listed {
	struct key key;
	struct stored stored;
	bool named;  /* the key is without its text, which the store has: resolve tells */
	bool unread; /* it is there, but cannot be read just now: `stored` is empty, and find tells why */
};

/* How long a value lives that is stored. */
struct lifetime {
	bool is_set;     /* until `expires`, whatever there was. Else what is written over keeps the expiry it has, and what is new lives for `ttl` */
	int64_t expires; /* unix seconds, 0: for ever */
	int64_t ttl;     /* seconds, 0: for ever */
	enum { MAYBE_THERE, MOST_LIKELY_NEW, MOST_LIKELY_THERE } guess; /* whether there is such an entry, as of a moment ago */
};

/* Where a value can be collected that is to be stored. */
struct collecting {
	int fd;          /* a file without a name, empty, open for reading and writing */
	uint64_t offset; /* bytes at its beginning that belong to the backend: the value begins behind them */
};

struct backend;
struct cursor;

/* What may be left out (NULL) says what stands in for it. */
struct backend_ops {
	const char *name;             /* as meta/ shows it */
	const char *title;            /* as error messages name the store: "Redis" */
	const char *const *schemes;   /* of its URLs, NULL-terminated */
	const char *mounts;           /* what it mounts, for a list in error messages: "Redis (redis://HOST, …)" */
	const char *const *forms;     /* of its usual SOURCE, the same: "redis://HOST"; NULL-terminated */
	const char *variable;         /* of the environment, which selects it where there is no SOURCE; NULL: none does */
	const char *last_variable;    /* the same where no other backend is selected; NULL: none */
	bool takes_paths;             /* a SOURCE without "://" is a location of this one */
	bool stores_keys;             /* false: a listing knows hashes, and the text of some keys */
	bool metered;                 /* each question costs money, so none is asked twice for one command */
	bool has_limit;               /* its values have a largest size: -EFBIG of find is the store's own */
	bool remote;                  /* its operations wait for a network, and its variable may hold a secret */

	/*
	 * Opens a location: what follows the "scheme://" of a URL, or, with the scheme NULL, a path as it was given (takes_paths). *ret_source: the
	 * whole source without secrets, owned by the caller. On failure sets the error, which holds no secret either. Starts no threads: the daemon has
	 * yet to fork. NULL: this build cannot open such a source.
	 */
	int (*open)(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source,
		struct error *error);

	/* The same with the value of its variable. NULL: that is a path (takes_paths), else a location of the first scheme. */
	int (*open_variable)(const char *variable, const char *value, const struct options *options, struct backend **ret, char **ret_source,
		struct error *error);

	/* The same where there is neither a SOURCE nor a variable. NULL: it is not opened then. */
	int (*open_default)(const struct options *options, struct backend **ret, char **ret_source, struct error *error);

	/* NULL: the backend is one block of malloc, and its prefix another. */
	void (*close)(struct backend *backend);

	/* Names what it goes on needing: files that are read again, servers. NULL: the network if it is remote, else nothing. */
	void (*needs)(const struct backend *backend, struct sandbox *sandbox);

	/*
	 * The newest version of an entry; all of its value, if `whole`, else maybe its head. What is read whole, though it is large, is made
	 * in `spool`. `cancel`: nobody waits any more when it becomes true; NULL: somebody does.
	 * 0; -ENOENT no such key, or expired; -EFBIG it is larger than what the store takes (has_limit); -EACCES, -EAGAIN, -ECONNREFUSED, -ETIMEDOUT, -EINTR, -EIO, -EMFILE, -ENOMEM…
	 */
	int (*find)(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
		struct stored *ret);

	/*
	 * The key with a hash, with its text, where it is stored. `cancel`: as of find. 0; -ENOENT; errors as of find. NULL: by its listing.
	 */
	int (*resolve)(struct backend *backend, const struct key_hash *hash, const atomic_bool *cancel, struct key *ret);

	/*
	 * The rest of a value that was found by its head only (its storage is partial): 0 and all of it, made in `spool`; -ESTALE
	 * it has changed since; -EINTR when *cancel became true; errors as of find. NULL: values are always whole.
	 */
	int (*fetch)(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool,
		const atomic_bool *cancel, struct slice *ret);

	/*
	 * When an entry that was found expires, as of now: unix seconds, 0 never. 0; -ESTALE it is no more, nor is its expiry; -EIO, errors as of find.
	 * NULL: it stays as it was found.
	 */
	int (*expires)(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret);

	/*
	 * A listing of all live entries: every one that is there throughout exactly once, in some order, at a cost that grows with their
	 * number and no faster. list waits for nothing remote. next: 1 and *ret, 0 at the end, -errno, after which it can be called again;
	 * -EINTR soon after *cancel became true. Without `value` the stored value is left out, which is cheaper, and a remote backend leaves
	 * out the version too. list_end does not wait for a server. NULL, all three: nobody can list it, which is -EOPNOTSUPP and no empty listing.
	 * next: the same at the first call, when it is the server that does not let itself be listed. Who mounts it lists then what is known (entry.h).
	 */
	int (*list)(struct backend *backend, struct cursor **ret);
	int (*next)(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret);
	void (*list_end)(struct cursor *cursor);

	/* Drops cached answers; versions keep their identity. NULL: nothing is kept. */
	void (*forget)(struct backend *backend);

	/* Ends all waits there are and will be, with -EINTR: only close follows. NULL: nothing waits. */
	void (*stop)(struct backend *backend);

	/* When the set of names last changed. 0, -errno. NULL: nobody knows, -EOPNOTSUPP. */
	int (*changed)(struct backend *backend, struct timespec *ret);

	/* How large it is. 0, -errno. NULL: a filesystem without a size. */
	int (*statfs)(struct backend *backend, struct statvfs *ret);

	/*
	 * --- writing, of mounts that were asked for it. Once one of these has returned 0, whoever asks for the key finds what is stored by then, and
	 * the applications that keep values in memory were told, where the store has a way to. What is left out (NULL) is -EOPNOTSUPP.
	 *
	 * -EACCES no permission; -EROFS a store, or a server, that takes no changes; -ENOSPC it is full; -ETIMEDOUT the store may have done it or
	 * not: the next find tells; -EINTR; errors as of find.
	 */

	/*
	 * Stores a value, whole, in the place of what there is; the last one who does it wins. It is done at one moment: whatever happens, everybody
	 * finds either the old value or the new one. A key without its text is only written over: -ENOENT it is not there. -EFBIG it is over a limit
	 * of the store or the SDK; -EINVAL, -ENAMETOOLONG the store takes no such key, -EINVAL no such expiry.
	 */
	int (*put)(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel);

	/* Removes an entry, which was found just now. 0; -ENOENT there is none, where the store tells. */
	int (*remove)(struct backend *backend, const struct key *key, const atomic_bool *cancel);

	/* Has an entry expire at another time: unix seconds, 0 never. Its version stays. 0; -ENOENT there is none; -EAGAIN somebody else is about it; -EINVAL the store takes no such expiry. */
	int (*expire)(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel);

	/*
	 * Where to collect a value, so that put() takes it as it lies there: all of the file from the offset on. Who collects no more closes it, and
	 * nothing is left. 0; -errno: it is collected in the spool, as it is where this is NULL.
	 */
	int (*collect)(struct backend *backend, struct collecting *ret);
};

/* What every backend and cursor begins with. */
struct backend {
	const struct backend_ops *ops;
	char *prefix; /* what stands before the text of every key where it is stored; NULL: nothing */
	size_t prefix_length;
	struct spool *spool; /* borrowed: where listings have what they read; set before there are any */
	struct stats *stats; /* borrowed: where calls are counted; set before there are any. NULL: nowhere */
	uint64_t value_max;  /* bytes of a value that can be stored; 0: as many as there are */
	bool traced; /* each call is printed */
};

struct cursor {
	const struct backend_ops *ops;
	struct backend *backend; /* borrowed; set by backend_list() */
};

/* All backends, NULL-terminated. */
extern const struct backend_ops *const backends[];

/*
 * Opens a SOURCE (a directory, a URL, or NULL: from the environment as the SDK does).
 * *ret_source is the source without secrets, for /proc/mounts; the caller frees it.
 */
int backend_open(const struct options *options, struct backend **ret, char **ret_source, struct error *error);
void backend_close(struct backend *backend);
void backend_needs(const struct backend *backend, struct sandbox *sandbox);

int backend_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
	struct stored *ret);
int backend_resolve(struct backend *backend, const struct key_hash *hash, const atomic_bool *cancel, struct key *ret);
int backend_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool,
	const atomic_bool *cancel, struct slice *ret);
int backend_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret);
int backend_list(struct backend *backend, struct cursor **ret);
void backend_forget(struct backend *backend);
void backend_stop(struct backend *backend);
int backend_changed(struct backend *backend, struct timespec *ret);
int backend_statfs(struct backend *backend, struct statvfs *ret);

/* Whether this thread is in backend_fetch() or backend_put(), which take longer than other calls. */
bool backend_call_is_long(void);

/* As the operations; -EOPNOTSUPP the backend has none. */
int backend_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel);
int backend_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel);
int backend_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel);
int backend_collect(struct backend *backend, struct collecting *ret);

/* A key that is known by its text as it is stored: with the prefix. 0, -ENOMEM. */
int backend_stored_key(const struct backend *backend, const struct key *key, struct key *ret);

int cursor_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret);
void cursor_end(struct cursor *cursor);

void stored_done(struct stored *stored);
#define cleanup_stored cleanup_with(stored_done)

/* Hands over what was found: what is left is empty. */
static inline struct stored stored_steal(struct stored *stored)
{
	struct stored stolen = *stored;
	*stored = (struct stored){0};
	return stolen;
}

bool version_equal(const struct version *a, const struct version *b);

/* Whether an expiry has passed. */
bool has_expired(int64_t expires);

#endif
