/*
 * What a service answers to one request: status and headers, by way of libcurl, and the body, which is decoded and made where it stays. A body is a value,
 * which goes to the spool, or a short text, or nothing that anybody wants. Its length is a claim until its end was seen.
 */
#ifndef CKFS_HTTP_ANSWER_H
#define CKFS_HTTP_ANSWER_H

#include "ckfs/backend.h"

#include <curl/curl.h>
#include <sodium.h>
#include <zlib.h>

/* No value of the service is larger, in bytes. */
#define VALUE_MAX (UINT64_C(25) << 20)

/* Nor is any other text that is of use. */
#define TEXT_MAX ((size_t)16 << 10)

/* Of what nobody wants, as an error's own words, so much is read for the sake of the connection. */
#define DROPPED_MAX ((size_t)64 << 10)

/* No date of HTTP is longer. */
#define RETRY_AFTER_SIZE 48

struct answer {
	CURL *easy;          /* borrowed: the transfer that it comes by */
	struct spool *spool; /* where a value is made; borrowed; NULL: none is wanted */
	bool wants_text;     /* … but a text */

	/* when the transfer has ended well */
	long status;
	char retry_after[RETRY_AFTER_SIZE]; /* the header, cut; "": there is none */
	bool stale;             /* the service says that the value is older than it should be */
	struct version version; /* of a value */
	struct slice value;     /* of a value; owned */
	char text[TEXT_MAX];    /* of a text */
	size_t length;          /* bytes of the value, or of the text */

	/* private */
	size_t dropped;     /* bytes that nobody wants */
	bool begun;
	enum { CODING_NONE, CODING_ZLIB } coding;
	bool inflating, inflated; /* `z` is set up; its stream has ended */
	z_stream z;
	struct spool_writer writer;
	crypto_generichash_state hash;
	int failure;        /* what has ended the transfer; 0: nothing of ours */
	const char *reason; /* static text */
};

/* Begins to take the answer of a transfer, whose callbacks are set here. `spool`, `wants_text`: as above. */
void answer_begin(struct answer *answer, CURL *easy, struct spool *spool, bool wants_text);

/* Whether the transfer was ended because nobody wants what was still to come: all that counts was said by then. */
bool answer_is_enough(const struct answer *answer);

/* The transfer has ended well: makes the value, or the text. 0; -EIO with *ret_reason; -ENOMEM, -ENOSPC… of the spool. */
int answer_end(struct answer *answer, const char **ret_reason);

/* Whether a status is one with a value or a text: the SDK takes all of 200 to 299. 206 is a part that nobody has asked for. */
bool answer_has_body(long status);

/* The value of a header; "" where there is none. It is there until the next transfer. Of several with one name the last. */
const char *answer_header(CURL *easy, const char *name);

/* Frees what it holds. */
void answer_done(struct answer *answer);

#endif
