/*
 * Where made content lives: in memory as long as cache_size allows, else in an unnamed file of spool_dir. All of it is
 * mapped, so that it is written and served in place.
 *
 * A size is only a claim: it takes addresses, nothing else. Memory is counted and locked, and blocks of a disk are taken, step by
 * step as sink_room() is asked for them, so whoever writes asks before each piece. What could never fit in memory begins on the disk.
 *
 * Content of a claimed size gets huge pages: touching small ones for the first time costs more than decompressing
 * into them. Content that grows lies in a file of memory, which grows without being moved, nor counting as private memory. Root has a tmpfs
 * of its own for these (spool_open_huge()), whose files have huge pages, too; others have memfds, whose pages are small.
 *
 * Content is *backed* if it begins a file of that tmpfs and ends with it (slice_backing()): the kernel may then read and map it by itself. So
 * what stands before a document in a fetched value lies apart from it, in plain memory, and the addresses of the two are adjacent.
 *
 * Content of sealed entries is secret: never on a disk, locked in memory where that is allowed, left out of
 * core dumps, and wiped. It may exceed cache_size by SPOOL_SECRET_MORE, since there is nowhere else to put it.
 */
#ifndef CKFS_SPOOL_H
#define CKFS_SPOOL_H

#include "ckfs/error.h"
#include "ckfs/sink.h"
#include "ckfs/slice.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Content up to this many bytes is plain memory. */
#define SPOOL_SMALL (64u << 10)

/* What content is given at a time: as much may be taken that nobody writes to, and twice that where the step begins. */
#define SPOOL_STEP (UINT64_C(4) << 20)

/* Secret content has so many bytes when others have taken all of cache_size. */
#define SPOOL_SECRET_MORE (UINT64_C(64) << 20)

/* Smaller content is not backed: each takes a descriptor, and reading it takes two requests at most. */
#define SPOOL_BACKED_MIN (UINT64_C(1) << 20)

/* So many bytes of a value tell what stands before its document. */
#define SPOOL_HEAD 4096

/* The directory cannot be used. Users see EIO: it is no property of an entry. */
#define SPOOL_UNUSABLE (-ENOTNAM)

struct spool {
	const char *directory; /* borrowed */
	uint64_t memory_max;   /* bytes of made content in memory at one time */
	atomic_uint_least64_t memory_used;
	atomic_int trouble;    /* the errno of what the directory could not do; 0: content was whole there since */
	atomic_uint losses;    /* how often that began */

	int huge;              /* the directory of a tmpfs with huge pages; 0: there is none */
	unsigned backings_max; /* descriptors that content may keep at one time */
	atomic_uint backings;
	atomic_bool backs;     /* the kernel reads backed content by itself: as much as possible is to be backed */

	/* How many bytes stand before the document of a value of `size` bytes, as far as its first n tell. NULL: nobody can tell. */
	uint64_t (*head_of)(const void *first, size_t n, uint64_t size);

	/* Lets go of what is only kept until n more bytes fit, as far as that goes. NULL: nothing is kept. */
	void (*make_room)(void *arg, uint64_t n);
	void *arg;
};

/* Where content lies. */
struct spool_mapping {
	uint8_t *memory;
	uint64_t capacity; /* bytes of it that have addresses */
	uint64_t granted;  /* bytes of these that may be written */
	uint64_t head;     /* bytes of these that lie before those of fd */
	int fd;            /* of a memfd or a file; -1: of none */
};

/* One piece of content being written, through its sink; one thread at a time. */
struct spool_writer {
	struct sink sink; /* first: it grows by itself */
	struct spool *spool;
	bool secret;
	enum { SPOOL_IN_HEAP, SPOOL_IN_MEMORY, SPOOL_ON_DISK } place;
	struct spool_mapping at; /* in the heap: plain memory */
	uint64_t head;    /* bytes that lie apart where content is backed */
	uint64_t charged; /* bytes that memory_used counts for it */
};

/* Whether a directory can be used, before there is a mount. 0; -errno, as the system has it, with the error set. */
int spool_check(const char *directory, struct error *error);

/* Makes the tmpfs with huge pages, where that is allowed (it takes root) and the kernel has it; before there is a sandbox. */
void spool_open_huge(struct spool *spool);
void spool_close_huge(struct spool *spool);

/* Fills the text with what the directory could not do. */
void spool_explain(const char *directory, int number, struct error *ret);

/*
 * Begins content that claims `size` bytes; it may become larger or smaller. Secret content that does not fit is -ENOMEM.
 * 0; -ENOMEM; -ENOSPC, -EMFILE, SPOOL_UNUSABLE. The writer does not move until it is ended; its memory does with each piece.
 */
int spool_begin(struct spool *spool, uint64_t size, bool secret, struct spool_writer *ret);

/* The same for a value of `size` bytes, whose first n are written: the head, of which they tell, lies apart. */
int spool_begin_value(struct spool *spool, uint64_t size, const void *first, size_t n, struct spool_writer *ret);

/* The same for content that will grow, from about `size` bytes. */
int spool_begin_growing(struct spool *spool, uint64_t size, bool secret, struct spool_writer *ret);

/* How much was written so far, and where it lies until more is. */
uint64_t spool_length(const struct spool_writer *writer);
uint8_t *spool_bytes(const struct spool_writer *writer);

/* Appends. 0; as spool_begin. */
int spool_write(struct spool_writer *writer, const void *bytes, size_t n);

/* Starts over. */
void spool_restart(struct spool_writer *writer);

/* Turns what was written into a slice, which takes it. 0; -ENOMEM, and it can be written on. */
int spool_end(struct spool_writer *writer, struct slice *ret);

/* Drops what was written and not taken; of a writer that is all zero, nothing. */
void spool_abort(struct spool_writer *writer);
#define cleanup_spool cleanup_with(spool_abort)

/* Bytes of secret content that can be there at most. */
uint64_t spool_secret_max(const struct spool *spool);

/* Whether n more bytes of content fit in memory now. */
bool spool_fits(const struct spool *spool, uint64_t n);

#endif
