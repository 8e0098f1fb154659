/* Connections to a toy store, and the operations that are made over them. */
#ifndef CKFS_TOY_CONNECTION_H
#define CKFS_TOY_CONNECTION_H

#include "backend/remote/address.h"
#include "backend/remote/pool.h"
#include "backend/remote/stream.h"

#include "ckfs/backend.h"

#define LINE_MAX_BYTES 1024

struct toy {
	struct backend backend;
	struct endpoint server;
	struct pool pool;
	atomic_bool stop;
};

struct connection {
	struct pooled pooled;
	bool owes; /* an answer that was not read to its end */
	struct stream stream;
};

extern const struct pool_ops toy_pool_ops;

/* The next line, without its end. 0, -errno. */
int toy_read_line(struct stream *s, char ret[static LINE_MAX_BYTES]);

/* The number of a line that begins with a word. 0; -ENOENT NONE; -errno. */
int toy_read_number(struct stream *s, const char *format, unsigned long long *ret);

/* Operations of the backend: see ckfs/backend.h. */
int toy_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel, struct stored *ret);
int toy_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel);
int toy_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel);
int toy_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel);
int toy_list(struct backend *backend, struct cursor **ret);
int toy_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret);
void toy_list_end(struct cursor *cursor);

#endif
