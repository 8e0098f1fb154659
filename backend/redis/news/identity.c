#include "identity.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* What stands around a client's name in the list of clients. */
#define WORD_SIZE (IDENTITY_NAME_SIZE + sizeof " name= ")

/* The list is searched in pieces of so many bytes. */
#define WINDOW_SIZE 4096

void identity_put(struct redis_connection *c, struct client_identity *identity)
{
	uint8_t random[16];
	char digits[2 * sizeof random + 1];
	randombytes_buf(random, sizeof random);
	sodium_bin2hex(digits, sizeof digits, random, sizeof random);
	snprintf(identity->name, sizeof identity->name, "ckfs-%s", digits);
	connection_put_text(c, "CLIENT", "SETNAME", identity->name, NULL);
	connection_put_text(c, "CLIENT", "ID", NULL);
}

int identity_read(struct redis_connection *c, struct client_identity *identity)
{
	int64_t client = 0;
	int r = connection_status(c);
	int second = c->stream.broken ? 0 : connection_integer(c, &client);
	r = r < 0 ? r : second;
	if (r == 0)
		identity->client = client;
	return r;
}

/* --- proving --- */

/* Whether a word is in a string of n bytes, whose head was read. Keeps only a few bytes at a time, since a server may have many clients. */
static int find_word(struct redis_connection *c, uint64_t n, const char *word, bool *ret)
{
	char window[WINDOW_SIZE];
	size_t length = strlen(word), kept = 0;
	bool found = false;
	int r = 0;
	while (r == 0 && n > 0) {
		size_t room = sizeof window - kept, step = n < room ? (size_t)n : room;
		r = connection_read(c, window + kept, step);
		size_t filled = kept + step;
		found = found || (r == 0 && memmem(window, filled, word, length));
		kept = filled < length ? filled : length - 1;
		memmove(window, window + filled - kept, kept);
		n -= step;
	}
	if (r == 0)
		r = connection_string_end(c);
	if (r == 0)
		*ret = found;
	return r;
}

/* Searches the answer about clients. -ENOSYS: the server does not know this form of the command. */
static int read_list(struct redis_connection *c, const char *name, enum identity_proof *ret)
{
	char word[WORD_SIZE];
	struct reply reply = {0};
	bool found = false;
	int r = connection_head(c, &reply);
	if (r == 0 && reply.kind == REPLY_ERROR)
		return reply_errno(&reply.text) == -ENOSYS ? -ENOSYS : 0;
	if (r < 0 || reply.kind != REPLY_STRING)
		return r;
	snprintf(word, sizeof word, " name=%s ", name);
	r = find_word(c, (uint64_t)reply.number, word, &found);
	if (r == 0)
		*ret = found ? IDENTITY_SAME : IDENTITY_OTHER;
	return r;
}

int identity_prove(struct redis_connection *c, const struct client_identity *identity, enum identity_proof *ret)
{
	char number[24];
	enum identity_proof proof = IDENTITY_UNPROVED;
	snprintf(number, sizeof number, "%lld", (long long)identity->client);
	connection_put_text(c, "CLIENT", "LIST", "ID", number, NULL);
	int r = connection_send(c);
	if (r == 0)
		r = read_list(c, identity->name, &proof);
	if (r == -ENOSYS && !c->stream.broken) {
		/* A server before 6.2 cannot list a single client. */
		connection_put_text(c, "CLIENT", "LIST", NULL);
		r = connection_send(c);
		if (r == 0)
			r = read_list(c, identity->name, &proof);
	}
	if (r < 0 && c->stream.broken)
		return r;
	*ret = proof;
	return 0;
}
