/*
 * What a Memcached server says, line by line: replies to meta commands, statistics, and the lines of `lru_crawler metadump`. These read lines and
 * nothing else; the end of a line (CR LF, or LF) is not part of it.
 */
#ifndef CKFS_MEMCACHED_REPLY_H
#define CKFS_MEMCACHED_REPLY_H

#include "backend/memcached/address/placement.h"

#include "ckfs/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* The longest line that counts. */
#define MC_LINE_MAX 4096

/* No value is longer. */
#define MC_VALUE_MAX (UINT64_C(1) << 40)

enum mc_kind {
	MC_VALUE, /* VA: `size` bytes follow, and CR LF */
	MC_HEAD,  /* HD (OK before 1.6.10): what is known of it */
	MC_MISS,  /* EN, NF */
	MC_CHANGED, /* EX, NS: what was to be stored over is not there any more, or something is where nothing was */
	MC_ERROR, /* ERROR, CLIENT_ERROR, SERVER_ERROR: mc_errno() */
};

/* A reply to a meta command. */
struct mc_reply {
	enum mc_kind kind;
	uint64_t size;     /* of the value, in bytes */
	bool has_size;
	uint64_t cas;      /* 0: the server counts no versions */
	int64_t ttl;       /* seconds that are left; -1: for ever */
	uint32_t flags;    /* of the client that stored it */
	uint64_t opaque;   /* what the question has given it to tell; 0: nothing */
};

/* 0; -EIO it is no reply. */
int mc_reply_read(const char *line, size_t n, struct mc_reply *ret);

/* The errno of a line that is an error; 0: it is none. -EACCES a login is missing or wrong, -EAGAIN the server has no memory, or cannot just now, -EFBIG it takes no such
 * value, -EIO any other. */
int mc_errno(const char *line, size_t n);

/* A line of statistics: STAT name value. False: it is none. */
bool mc_stat_read(const char *line, size_t n, struct bytes *ret_name, struct bytes *ret_value);

/* A decimal number that takes all of a text, up to 2^63 - 1. False: it is none. */
bool mc_number(struct bytes text, uint64_t *ret);

/* --- lines of a dump --- */

enum mc_dump_kind {
	MC_ITEM,
	MC_DUMP_END,
	MC_DUMP_OK,      /* what newer servers say first */
	MC_DUMP_BUSY,    /* another one runs: later */
	MC_DUMP_REFUSED, /* the server is set up so that nobody is told */
	MC_DUMP_ERROR,   /* mc_errno() */
};

struct mc_item {
	char key[MEMCACHED_KEY_MAX];
	size_t length;
	uint64_t size; /* bytes that the item takes on the server: more than its value has; 0: it is not told */
};

/* A line of a dump. 0 and *ret_kind; -EIO it is none. *ret_item: of MC_ITEM only. */
int mc_dump_read(const char *line, size_t n, enum mc_dump_kind *ret_kind, struct mc_item *ret_item);

#endif
