#include "tls_settings.h"

#include "ckfs/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tls_settings *tls_settings_new(const struct tls_words *words)
{
	struct tls_settings *settings = calloc(1, sizeof *settings);
	if (settings)
		settings->words = words;
	return settings;
}

const char *tls_option_given(const struct options *options)
{
	return options->tls_ca ? "tls_ca" : options->tls_cert ? "tls_cert" : options->tls_key ? "tls_key"
		: options->tls_server_name ? "tls_server_name" : NULL;
}

/* What an option says, if it was given. */
static int take_option(char **to, const char *value)
{
	char *copy = value ? strdup(value) : NULL;
	if (!value)
		return 0;
	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static void forget(char **text)
{
	free(*text);
	*text = NULL;
}

static int make_absolute(char **path)
{
	char *absolute;
	int r = path_absolute(*path, &absolute);
	if (r < 0)
		return r;
	free(*path);
	*path = absolute;
	return 0;
}

static int settle_path(char **path, bool is_dir, struct error *error)
{
	struct stat st;
	if (!*path)
		return 0;
	if (stat(*path, &st) < 0 || access(*path, is_dir ? R_OK | X_OK : R_OK) < 0)
		return error_set(error, -errno, "%.300s: %s", *path, strerror(errno));
	if (is_dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
		return error_set(error, -EINVAL, "%.300s: not a %s", *path, is_dir ? "directory" : "regular file");
	int r = make_absolute(path);
	return r < 0 ? error_set(error, r, "%.300s: %s", *path, strerror(-r)) : 0;
}

int tls_settings_settle(struct tls_settings *settings, const struct options *options, struct error *error)
{
	struct tls_settings *s = settings;
	if (take_option(&s->ca_file, options->tls_ca) < 0 || take_option(&s->cert_file, options->tls_cert) < 0
		|| take_option(&s->key_file, options->tls_key) < 0 || take_option(&s->server_name, options->tls_server_name) < 0)
		return error_set(error, -ENOMEM, "no memory");
	s->only_ca_file = options->tls_ca != NULL;
	/* What belonged to the text that an option has replaced. */
	if (options->tls_ca)
		forget(&s->ca_dir);
	if (options->tls_cert && !options->tls_key)
		forget(&s->key_file);
	if (s->key_file && !s->cert_file)
		return error_set(error, -EINVAL, "%.300s: a key without a certificate; give the certificate with -o tls_cert=FILE", s->key_file);
	int r = settle_path(&s->ca_file, false, error);
	if (r == 0)
		r = settle_path(&s->ca_dir, true, error);
	if (r == 0)
		r = settle_path(&s->cert_file, false, error);
	if (r == 0)
		r = settle_path(&s->key_file, false, error);
	return r;
}

void tls_settings_free(struct tls_settings *settings)
{
	if (!settings)
		return;
	free(settings->ca_file);
	free(settings->ca_dir);
	free(settings->cert_file);
	free(settings->key_file);
	free(settings->server_name);
	free(settings);
}
