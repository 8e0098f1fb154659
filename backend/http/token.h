/* What a mount shows to the service: the token of CACHEKIT_API_KEY, or of -o token_file=, which is read again when the service refuses it. Any thread. */
#ifndef CKFS_HTTP_TOKEN_H
#define CKFS_HTTP_TOKEN_H

#include "backend/remote/password.h"

#include "ckfs/options.h"

struct token {
	struct password_file *file; /* NULL: `text` */
	char *text;                 /* from sodium_malloc */
};

/* Takes the token: of the file if there is one, else `value` (NULL: there is none). 0; -EINVAL, -EACCES… with the error set, which holds no token. */
int token_open(const struct options *options, const char *value, struct token *ret, struct error *error);
void token_close(struct token *token);

/* Copies it, and tells its number. */
unsigned token_get(struct token *token, char to[static PASSWORD_MAX + 1]);

/* Whether there is another one than that with this number. */
bool token_renew(struct token *token, unsigned number);

#endif
