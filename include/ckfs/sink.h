/*
 * Where made bytes go: free room that the writer fills, and a way to get more of it.
 *
 * The writer puts bytes at `p` and moves it; before that it asks sink_room() for as many as it needs. So the
 * common case costs one comparison. What the room is (memory, a memfd) only the sink's maker knows.
 */
#ifndef CKFS_SINK_H
#define CKFS_SINK_H

#include <stddef.h>
#include <stdint.h>

struct sink {
	uint8_t *p, *end; /* free room */

	/* Makes end - p >= n; what was written stays, `p` and `end` may move. 0; -ENOMEM, -ENOSPC, -EFBIG. */
	int (*more)(struct sink *sink, size_t n);
};

/* At least n free bytes at sink->p. 0, -errno. */
static inline int sink_room(struct sink *sink, size_t n)
{
	return (size_t)(sink->end - sink->p) >= n ? 0 : sink->more(sink, n);
}

#endif
