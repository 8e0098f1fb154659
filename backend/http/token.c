#include "token.h"

#include <errno.h>
#include <string.h>

static const struct secret_kind kind = {.option = "token_file", .what = "token", .max = 64u << 10};

/* RFC 6750: what else there is would never be let in, and may tear a header apart. */
static bool is_token(const char *text)
{
	size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/");
	return n > 0 && n <= PASSWORD_MAX && text[n + strspn(text + n, "=")] == '\0';
}

static int open_file(const char *path, struct token *token, struct error *error)
{
	char text[PASSWORD_MAX + 1];
	int r = password_file_open_kind(path, &kind, &token->file, error);
	if (r < 0)
		return r;
	password_file_get(token->file, text);
	bool is = is_token(text);
	sodium_memzero(text, sizeof text);
	return is ? 0 : error_set(error, -EINVAL, "%.300s: its first line is not a token: it has characters that no token has", path);
}

int token_open(const struct options *options, const char *value, struct token *ret, struct error *error)
{
	*ret = (struct token){.file = NULL};
	if (options->token_file)
		return open_file(options->token_file, ret, error);
	if (!value || !*value)
		return error_set(error, -EINVAL, "https://: no token; set CACHEKIT_API_KEY, or give a file with it: -o token_file=FILE");
	if (!is_token(value))
		return error_set(error, -EINVAL, "CACHEKIT_API_KEY: not a token: it has characters that no token has, maybe white space at its end");
	size_t n = strlen(value) + 1;
	ret->text = sodium_malloc(n);
	if (!ret->text)
		return error_set(error, -ENOMEM, "no memory for the token");
	memcpy(ret->text, value, n);
	return 0;
}

void token_close(struct token *token)
{
	password_file_close(token->file);
	sodium_free(token->text);
	*token = (struct token){.file = NULL};
}

unsigned token_get(struct token *token, char to[static PASSWORD_MAX + 1])
{
	unsigned number = password_file_number(token->file);
	if (token->file)
		password_file_get(token->file, to);
	else
		strcpy(to, token->text);
	return number;
}

bool token_renew(struct token *token, unsigned number)
{
	char text[PASSWORD_MAX + 1];
	struct error ignored;
	if (password_file_renew(token->file, number, &ignored) <= 0)
		return false;
	token_get(token, text);
	bool is = is_token(text);
	sodium_memzero(text, sizeof text);
	return is;
}
